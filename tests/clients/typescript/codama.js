// Clients as Codama generates them, from the programs' IDLs alone: of each program one that compiles, and with that of the
// markets a job is opened, read, and taken back.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { rootNodeFromAnchor } from "@codama/nodes-from-anchor";
import { renderVisitor } from "@codama/renderers-js";
import {
  appendTransactionMessageInstruction, assertIsTransactionWithBlockhashLifetime, createKeyPairSignerFromPrivateKeyBytes, createSolanaRpc,
  createSolanaRpcSubscriptions, createTransactionMessage, pipe, sendAndConfirmTransactionFactory, setTransactionMessageFeePayerSigner,
  setTransactionMessageLifetimeUsingBlockhash, signTransactionMessageWithSigners,
} from "@solana/kit";
import { createFromRoot } from "codama";
import { build } from "esbuild";

const [url, websocketUrl, path] = process.argv.slice(2);
const context = JSON.parse(readFileSync(path));

const clients = {};
for (const [name, address] of Object.entries(context.programs)) {
  const idl = JSON.parse(readFileSync(`${context.idls}/${name}.json`));
  const folder = `${context.folder}/${name}`, outfile = `${folder}/client.mjs`;
  await createFromRoot(rootNodeFromAnchor({ ...idl, address })).accept(renderVisitor(folder, { formatCode: false }));
  await build({
    entryPoints: [`${folder}/src/generated/index.ts`], outfile, bundle: true, format: "esm", platform: "node", logLevel: "error",
    nodePaths: [fileURLToPath(new URL("node_modules", import.meta.url))],
  });
  clients[name] = await import(outfile);
}

const rpc = createSolanaRpc(url), rpcSubscriptions = createSolanaRpcSubscriptions(websocketUrl);
const sendAndConfirm = sendAndConfirmTransactionFactory({ rpc, rpcSubscriptions });
const client = await createKeyPairSignerFromPrivateKeyBytes(Uint8Array.from(context.client));
const send = async (instruction) => {
  const { value: latest } = await rpc.getLatestBlockhash({ commitment: "confirmed" }).send();
  const signed = await pipe(
    createTransactionMessage({ version: 0 }),
    (message) => setTransactionMessageFeePayerSigner(client, message),
    (message) => setTransactionMessageLifetimeUsingBlockhash(latest, message),
    (message) => appendTransactionMessageInstruction(instruction, message),
    (message) => signTransactionMessageWithSigners(message),
  );
  assertIsTransactionWithBlockhashLifetime(signed);
  await sendAndConfirm(signed, { commitment: "confirmed" });
};

const { markets } = clients, { market, config, page, clientToken } = context;
const confirmed = { commitment: "confirmed" };
const { data: { terms, vault } } = await markets.fetchMarket(rpc, market, confirmed);
const id = 7n, [job] = await markets.findJobPda({ client: client.address, id });
await send(await markets.getOpenInstructionAsync({
  client, config, market, page, source: clientToken, vault, id, seconds: 3600n, document: new Uint8Array(32).fill(1),
  author: client.address, terms,
}));
const opened = (await markets.fetchJob(rpc, job, confirmed)).data;
assert.equal(opened.client, client.address);
assert.equal(opened.deposit, terms.rate * 3600n + terms.fixed);
await send(markets.getCancelInstruction({ caller: client, market, page, job, vault, clientToken, client: client.address }));
assert.equal((await markets.fetchMaybeJob(rpc, job, confirmed)).exists, false);

// What a program refuses has its name there, too.
const refused = await send(markets.getCancelInstruction({
  caller: client, market, page: market, job: market, vault, clientToken, client: client.address,
})).then(() => null, (error) => error);
assert.ok(Object.values(markets).includes(refused.cause.context.code), refused);
console.log("ok");
process.exit(0);
