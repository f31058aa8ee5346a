// node fetch.mjs URL TOKEN FILE...   adds the members in each FILE
import { readFile } from "node:fs/promises";
import { add } from "./add.mjs";

const [url, token, ...files] = process.argv.slice(2);
for (const file of files) {
  const { status, body } = await add(url, token, await readFile(file, "utf8"));
  process.stdout.write(`${body} ${status}\n`);
}
