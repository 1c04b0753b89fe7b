/** The banks of a model: those that hold its weights and caches, and one that visitors are copied to. */
import type { Wasm } from "../host.ts";
import type { Team } from "../threads/team.ts";
import { aligned, type Bank, makeBank } from "./bank.ts";

export interface Banks {
  /** The bank whose memory a buffer is. */
  find(buffer: ArrayBufferLike): Bank | undefined;
  add(bank: Bank): void;
  drop(bank: Bank): void;
  /** Copies `arrays`, which lie elsewhere, to a bank with a frame of at least `frameBytes` for as long as one call takes. */
  visit(arrays: readonly ArrayBufferView[], frameBytes: number): { bank: Bank; addresses: number[] };
}

export function makeBanks(wasm: Wasm, team: Team): Banks {
  const byBuffer = new Map<ArrayBufferLike, Bank>();
  let guest: { readonly bank: Bank; readonly room: number } | undefined;
  return {
    find: (buffer) => byBuffer.get(buffer),
    add(bank) {
      byBuffer.set(bank.buffer, bank);
      team.announce(bank);
    },
    drop(bank) {
      byBuffer.delete(bank.buffer);
      team.forget(bank);
    },
    visit(arrays, frameBytes) {
      const needed = arrays.reduce((sum, array) => sum + aligned(array.byteLength), 0);
      if (!guest || needed > guest.room || frameBytes > guest.bank.end - guest.bank.frame) {
        const room = Math.max(needed, guest?.room ?? 0);
        const frame = Math.max(frameBytes, guest ? guest.bank.end - guest.bank.frame : 0);
        if (guest) team.forget(guest.bank);
        guest = { bank: makeBank(wasm, room, frame, "cpu"), room };
        team.announce(guest.bank);
      }
      const { bank } = guest;
      let at = 0;
      const addresses = arrays.map((array) => {
        const address = at;
        new Uint8Array(bank.buffer, address, array.byteLength).set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
        at += aligned(array.byteLength);
        return address;
      });
      return { bank, addresses };
    },
  };
}
