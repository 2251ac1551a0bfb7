// @solana/web3.js 1.x: what most wallets and applications still use.
import assert from "node:assert/strict";
import {
  Connection, Keypair, LAMPORTS_PER_SOL, MessageV0, NonceAccount, SendTransactionError, SystemProgram, Transaction,
  TransactionMessage, VersionedTransaction, NONCE_ACCOUNT_LENGTH, sendAndConfirmTransaction, ComputeBudgetProgram,
} from "@solana/web3.js";

const [url, wsEndpoint] = process.argv.slice(2);
const connection = new Connection(url, { commitment: "confirmed", wsEndpoint });
const payer = Keypair.generate(), to = Keypair.generate().publicKey;

await connection.confirmTransaction(await connection.requestAirdrop(payer.publicKey, 10 * LAMPORTS_PER_SOL));
assert.equal(await connection.getBalance(payer.publicKey), 10 * LAMPORTS_PER_SOL);

// Subscriptions: changes of an account, logs, and the confirmation itself go over the WebSocket.
const seen = {};
const account = new Promise((resolve) => connection.onAccountChange(to, (info) => resolve(info.lamports)));
const logs = new Promise((resolve) => connection.onLogs(payer.publicKey, (told) => resolve(told.signature)));
const slot = new Promise((resolve) => connection.onSlotChange((told) => resolve(told.slot)));
await new Promise((resolve) => setTimeout(resolve, 300)); // the library does not say when it has subscribed

const pay = (lamports) => SystemProgram.transfer({ fromPubkey: payer.publicKey, toPubkey: to, lamports });
const first = await sendAndConfirmTransaction(connection, new Transaction().add(pay(LAMPORTS_PER_SOL)), [payer]);
assert.equal(await account, LAMPORTS_PER_SOL);
assert.equal(await logs, first);
assert.ok((await slot) > 0);

const latest = await connection.getLatestBlockhash();
const message = new TransactionMessage({
  payerKey: payer.publicKey, recentBlockhash: latest.blockhash,
  instructions: [ComputeBudgetProgram.setComputeUnitPrice({ microLamports: 1000 }), pay(LAMPORTS_PER_SOL)],
}).compileToV0Message();
assert.ok((await connection.getFeeForMessage(message)).value >= 5000);
const versioned = new VersionedTransaction(message);
versioned.sign([payer]);
const simulated = await connection.simulateTransaction(versioned);
assert.equal(simulated.value.err, null);
const second = await connection.sendTransaction(versioned);
await connection.confirmTransaction({ signature: second, ...latest }, "confirmed");
const told = await connection.getTransaction(second, { maxSupportedTransactionVersion: 0, commitment: "confirmed" });
assert.ok(told.transaction.message instanceof MessageV0);
assert.equal(told.meta.postBalances[1], 2 * LAMPORTS_PER_SOL);
const parsed = await connection.getParsedTransaction(first, { maxSupportedTransactionVersion: 0, commitment: "confirmed" });
assert.equal(parsed.transaction.message.instructions[0].parsed.type, "transfer");
const signatures = await connection.getSignaturesForAddress(to);
assert.deepEqual(signatures.map((line) => line.signature), [second, first]);

await assert.rejects(
  sendAndConfirmTransaction(connection, new Transaction().add(pay(100 * LAMPORTS_PER_SOL)), [payer]),
  (error) => error instanceof SendTransactionError && error.logs.some((line) => line.includes("insufficient lamports")),
);

const nonce = Keypair.generate();
await sendAndConfirmTransaction(connection, SystemProgram.createNonceAccount({
  fromPubkey: payer.publicKey, noncePubkey: nonce.publicKey, authorizedPubkey: payer.publicKey,
  lamports: await connection.getMinimumBalanceForRentExemption(NONCE_ACCOUNT_LENGTH),
}), [payer, nonce]);
assert.ok((await connection.getNonce(nonce.publicKey)) instanceof NonceAccount);

const table = await connection.getAddressLookupTable(Keypair.generate().publicKey);
assert.equal(table.value, null);
assert.ok((await connection.getVersion())["solana-core"]);
assert.equal((await connection.getEpochInfo()).epoch, 0);
console.log("ok");
process.exit(0);
