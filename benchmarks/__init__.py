"""What a request, a stream and a checkout cost, beside those who do the same.

``python -m benchmarks all`` runs everything; ``--help`` names the switches.
Every contender is a program of its own (``servers/``, ``clients/``,
``streams/``, ``pools/``), pinned to one core while the load comes from another,
and all contenders take turns within each round, so that a noisy neighbour
slows them alike. What counts is CPU time of the contender's process; ratios
are taken within a round and the median of the rounds is shown.

Linux only: it reads other processes' CPU clocks and ``/proc``.
"""
