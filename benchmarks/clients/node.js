// Node's own client with a keep-alive agent.
"use strict";
const http = require("node:http");
const readline = require("node:readline");

const url = `http://127.0.0.1:${process.argv[2]}/`;
const agent = new http.Agent({ keepAlive: true });

const fetchOne = () =>
  new Promise((resolve, reject) => {
    const request = http.get(url, { agent }, (response) => {
      let size = 0;
      response.on("data", (chunk) => (size += chunk.length));
      response.on("end", () => resolve(size));
      response.on("error", reject);
    });
    request.on("error", reject);
  });

async function turn(tasks, seconds) {
  const end = performance.now() + seconds * 1000;
  let count = 0;
  const task = async () => {
    while (performance.now() < end) {
      const size = await fetchOne();
      if (size !== 13) throw new Error(`${size} bytes`);
      count += 1;
    }
  };
  await Promise.all(Array.from({ length: tasks }, task));
  return count;
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [tasks, seconds] = line.split(" ").map(Number);
    console.log(await turn(tasks, seconds));
  }
}

main();
