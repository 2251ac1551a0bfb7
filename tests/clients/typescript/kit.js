// @solana/kit: the present library, whose confirmation races a subscription against the block height.
import assert from "node:assert/strict";
import {
  airdropFactory, appendTransactionMessageInstruction, assertIsTransactionWithBlockhashLifetime, createSolanaRpc, createSolanaRpcSubscriptions,
  createTransactionMessage, generateKeyPairSigner, getSignatureFromTransaction, isSolanaError, lamports, pipe,
  sendAndConfirmTransactionFactory, setTransactionMessageFeePayerSigner, setTransactionMessageLifetimeUsingBlockhash,
  signTransactionMessageWithSigners, SOLANA_ERROR__JSON_RPC__SERVER_ERROR_SEND_TRANSACTION_PREFLIGHT_FAILURE, AccountRole, address,
} from "@solana/kit";

const [url, websocketUrl] = process.argv.slice(2);
const rpc = createSolanaRpc(url), rpcSubscriptions = createSolanaRpcSubscriptions(websocketUrl);
const payer = await generateKeyPairSigner(), to = await generateKeyPairSigner();
const sendAndConfirm = sendAndConfirmTransactionFactory({ rpc, rpcSubscriptions });

await airdropFactory({ rpc, rpcSubscriptions })({
  recipientAddress: payer.address, lamports: lamports(10_000_000_000n), commitment: "confirmed",
});
assert.equal((await rpc.getBalance(payer.address, { commitment: "confirmed" }).send()).value, 10_000_000_000n);

const transfer = (amount) => {
  const data = new Uint8Array(12), view = new DataView(data.buffer);
  view.setUint32(0, 2, true);
  view.setBigUint64(4, amount, true);
  return {
    programAddress: address("11111111111111111111111111111111"), data,
    accounts: [
      { address: payer.address, role: AccountRole.WRITABLE_SIGNER, signer: payer },
      { address: to.address, role: AccountRole.WRITABLE },
    ],
  };
};
const signed = async (amount) => {
  const { value: latest } = await rpc.getLatestBlockhash({ commitment: "confirmed" }).send();
  const made = await pipe(
    createTransactionMessage({ version: 0 }),
    (message) => setTransactionMessageFeePayerSigner(payer, message),
    (message) => setTransactionMessageLifetimeUsingBlockhash(latest, message),
    (message) => appendTransactionMessageInstruction(transfer(amount), message),
    (message) => signTransactionMessageWithSigners(message),
  );
  assertIsTransactionWithBlockhashLifetime(made);
  return made;
};

const stop = new AbortController();
const notices = await rpcSubscriptions
  .accountNotifications(to.address, { commitment: "confirmed", encoding: "base64" })
  .subscribe({ abortSignal: stop.signal });
// The library drops what comes before somebody reads.
const noticed = notices[Symbol.asyncIterator]().next();
const transaction = await signed(1_000_000_000n);
await sendAndConfirm(transaction, { commitment: "confirmed" });
assert.equal((await noticed).value.value.lamports, 1_000_000_000n);
stop.abort();

const signature = getSignatureFromTransaction(transaction);
const told = await rpc
  .getTransaction(signature, { commitment: "confirmed", encoding: "json", maxSupportedTransactionVersion: 0 })
  .send();
assert.equal(told.meta.fee, 5000n);
assert.equal(told.meta.err, null);
const info = await rpc.getAccountInfo(to.address, { commitment: "confirmed", encoding: "base64" }).send();
assert.equal(info.value.lamports, 1_000_000_000n);
const fees = await rpc.getRecentPrioritizationFees([to.address]).send();
assert.ok(fees.length > 0);

await assert.rejects(
  signed(100_000_000_000n).then((large) => sendAndConfirm(large, { commitment: "confirmed" })),
  (error) => isSolanaError(error, SOLANA_ERROR__JSON_RPC__SERVER_ERROR_SEND_TRANSACTION_PREFLIGHT_FAILURE),
);
console.log("ok");
process.exit(0);
