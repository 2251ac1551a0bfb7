// Anchor's client, from an IDL alone: instructions, a derived address, accounts, an error by its name.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import anchor from "@coral-xyz/anchor";
import { Connection, Keypair, LAMPORTS_PER_SOL, PublicKey, SystemProgram } from "@solana/web3.js";

const { AnchorProvider, BN, Program, Wallet } = anchor;
const [url, wsEndpoint, idlPath] = process.argv.slice(2);
const connection = new Connection(url, { commitment: "confirmed", wsEndpoint });
const payer = Keypair.generate(), mint = Keypair.generate(), owner = Keypair.generate().publicKey;
await connection.confirmTransaction(await connection.requestAirdrop(payer.publicKey, 10 * LAMPORTS_PER_SOL));
const provider = new AnchorProvider(connection, new Wallet(payer), { commitment: "confirmed", preflightCommitment: "confirmed" });
const program = new Program(JSON.parse(readFileSync(idlPath)), provider);

await program.methods.initializeMint(6, payer.publicKey, null).accounts({ mint: mint.publicKey }).preInstructions([
  SystemProgram.createAccount({
    fromPubkey: payer.publicKey, newAccountPubkey: mint.publicKey, space: 82, programId: program.programId,
    lamports: await connection.getMinimumBalanceForRentExemption(82),
  }),
]).signers([mint]).rpc();

const associated = new PublicKey("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL");
const place = (of) => PublicKey.findProgramAddressSync(
  [of.toBuffer(), program.programId.toBuffer(), mint.publicKey.toBuffer()], associated)[0];
const holding = (of) => ({
  programId: associated, data: Buffer.from([1]),
  keys: [
    { pubkey: payer.publicKey, isSigner: true, isWritable: true }, { pubkey: place(of), isSigner: false, isWritable: true },
    ...[of, mint.publicKey, SystemProgram.programId, program.programId]
      .map((pubkey) => ({ pubkey, isSigner: false, isWritable: false })),
  ],
});
// The account it mints to is not given: the client derives it from the seeds in the IDL.
const minted = await program.methods.mintTo(new BN(5_000_000), owner)
  .accounts({ mint: mint.publicKey, authority: payer.publicKey }).preInstructions([holding(owner)]).rpc();
assert.equal((await connection.getTokenAccountBalance(place(owner))).value.uiAmountString, "5");
const told = await connection.getTransaction(minted, { maxSupportedTransactionVersion: 0, commitment: "confirmed" });
assert.equal(told.meta.innerInstructions[0].instructions.length, 4);

const state = await program.account.mint.fetch(mint.publicKey);
assert.equal(state.supply.toString(), "5000000");
assert.ok(state.authority.equals(payer.publicKey));
const all = await program.account.mint.all([{ memcmp: { offset: 4, bytes: payer.publicKey.toBase58() } }]);
assert.deepEqual(all.map((item) => item.publicKey.toBase58()), [mint.publicKey.toBase58()]);

const other = Keypair.generate().publicKey;
// Anchor names an error by the IDL from what the chain answers: its text, the code in hexadecimal.
const failure = await program.methods.transferChecked(new BN(1), 6)
  .accounts({ source: place(payer.publicKey), mint: mint.publicKey, destination: place(other), authority: payer.publicKey })
  .preInstructions([holding(payer.publicKey), holding(other)]).rpc().then(() => null, (error) => error);
assert.ok(failure.logs.some((line) => line.endsWith("failed: custom program error: 0x1")));
const named = anchor.translateError(new Error(failure.transactionError.message), anchor.parseIdlErrors(program.idl));
assert.equal(named.msg, "Insufficient funds");
console.log("ok");
process.exit(0);
