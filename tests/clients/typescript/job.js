// A job through escrow, split and burn, from the programs' IDLs alone: accounts are given where a person chooses them, and
// found by Anchor where the IDL says how.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import anchor from "@coral-xyz/anchor";
import { Connection, Keypair, PublicKey } from "@solana/web3.js";

const { AnchorProvider, BN, Program, Wallet } = anchor;
const [url, wsEndpoint, path] = process.argv.slice(2);
const context = JSON.parse(readFileSync(path));
const connection = new Connection(url, { commitment: "confirmed", wsEndpoint });
const client = Keypair.fromSeed(Uint8Array.from(context.client)), node = Keypair.fromSeed(Uint8Array.from(context.node));
const provider = new AnchorProvider(connection, new Wallet(client), { commitment: "confirmed", preflightCommitment: "confirmed" });
const program = (name) => {
  const idl = JSON.parse(readFileSync(`${context.idls}/${name}.json`));
  return new Program({ ...idl, address: context.programs[name] }, provider);
};
const key = (name) => new PublicKey(context[name]);
const warp = async (seconds) => {
  const request = { jsonrpc: "2.0", id: 1, method: "hypernode_warp", params: [{ seconds, slots: 1 }] };
  await fetch(url, { method: "POST", body: JSON.stringify(request) });
};
const bytes = (value) => Array(32).fill(value);
const markets = program("markets"), nodes = program("nodes"), token = program("token");

const events = [];
for (const name of ["jobOpened", "jobTaken", "jobSubmitted", "jobClosed"]) {
  markets.addEventListener(name, () => events.push(name));
}

const id = new BN(7);
const [job] = PublicKey.findProgramAddressSync(
  [Buffer.from("job"), client.publicKey.toBuffer(), id.toArrayLike(Buffer, "le", 8)], markets.programId);
const { terms } = await markets.account.market.fetch(key("market"));
await markets.methods.open(id, new BN(3600), bytes(1), key("author"), terms).accountsPartial({
  client: client.publicKey, config: key("config"), market: key("market"), page: key("page"), source: key("clientToken"),
}).rpc();
const opened = await markets.account.job.fetch(job);
assert.ok(opened.client.equals(client.publicKey));

await nodes.methods.checkpoint(new BN(1), bytes(2)).accountsPartial({ key: node.publicKey, node: key("nodeRecord") })
  .signers([node]).rpc();
await markets.methods.take().accountsPartial({
  key: node.publicKey, config: key("config"), page: key("page"), job, node: key("nodeRecord"), stake: key("stake"),
  capacity: key("capacity"),
}).signers([node]).rpc();
await warp(600);
await markets.methods.submit(bytes(3), new BN(600)).accountsPartial({ key: node.publicKey, job }).signers([node]).rpc();

// Nobody else may settle before the time to dispute is over, and Anchor knows why from the IDL.
const failure = await markets.methods.settle().accountsPartial({
  caller: node.publicKey, job, capacity: key("capacity"), operatorToken: key("operatorToken"),
  authorToken: key("authorToken"), clientToken: key("clientToken"),
}).signers([node]).rpc().then(() => null, (error) => error);
const named = anchor.translateError(new Error(failure.transactionError.message), anchor.parseIdlErrors(markets.idl));
assert.equal(named.code, markets.idl.errors.find((error) => error.name.toLowerCase() === "tooearly").code);

await markets.methods.settle().accountsPartial({
  caller: client.publicKey, job, capacity: key("capacity"), operatorToken: key("operatorToken"),
  authorToken: key("authorToken"), clientToken: key("clientToken"),
}).rpc();
assert.equal(await markets.account.job.fetchNullable(job), null);
await markets.methods.sweep().accountsPartial({ config: key("config"), market: key("market") }).rpc();
await token.methods.burnTokens(new BN(1), new BN(1_000_000), bytes(4)).accountsPartial({
  holder: client.publicKey, vesting: key("vesting"), ledger: key("ledger"), source: key("clientToken"),
}).rpc();

for (let waited = 0; events.length < 4 && waited < 100; waited++) await new Promise((resolve) => setTimeout(resolve, 50));
assert.deepEqual(events, ["jobOpened", "jobTaken", "jobSubmitted", "jobClosed"]);
console.log("ok");
process.exit(0);
