"""What the pool benchmark times, each in a process of its own."""
