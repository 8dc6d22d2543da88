import type { Gfn } from '@heki/physical-memory';
import type { NamedLeaf } from '../heki-guest.ts';
import type { GuestTables } from './guest-tables.ts';

/** The mapping of every 4-KiB page of a range, looked up from the root, one page after the other. */
export function* walkByPage(tables: GuestTables, start: number, end: number): Generator<NamedLeaf> {
  for (let virtualFrame = start; virtualFrame < end; virtualFrame++) {
    let table = tables.root;
    for (let level: number = tables.levels; level > 0; level--) {
      const page = tables.memory.page(table);
      const slot = Math.floor(virtualFrame / 512 ** (level - 1)) % 512;
      const low = page?.[2 * slot] ?? 0;
      const high = page?.[2 * slot + 1] ?? 0;
      if ((low & 1) === 0) break;
      const frame = Math.floor(low / 4096) + (high % 2 ** 20) * 2 ** 20;
      if (level === 1 || (low & 0x80) !== 0) {
        yield { guestFrame: (frame + (virtualFrame % 512 ** (level - 1))) as Gfn, frames: 1, low, high };
        break;
      }
      table = frame as Gfn;
    }
  }
}
