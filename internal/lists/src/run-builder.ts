import { createHekiGuest, HekiCommand } from '@heki/guest';
import { decodePageList, forEachRange } from '@heki/hypercall/kvm';
import {
  type Gfn,
  type Gpa,
  type VirtualAddress,
  type VirtualFrame,
  writeBytes,
} from '@heki/physical-memory';
import { entryOf } from './run-model.ts';
import type { Values } from './values.ts';

/** The frame of an empty root table, and of a page for a list. */
const [ROOT, LIST] = [1, 2];
/** Of one page, which is not mapped: an empty one is never protected. */
const DIRECT_MAP = { start: 0xf_fff8_8800_0000 as VirtualFrame, end: 0xf_fff8_8800_0001 as VirtualFrame };
const WRITE = 2n;
const EXECUTE = 4n;
const XD = 0x8000_0000;

/** `pa`, `epa` and permissions of the entries that the Heki core of a guest sends when the leaves that a model's entries say are mapped (heki_add_pa()). */
export function coreSends(values: Values, entries: readonly string[]): readonly bigint[] {
  const pages = new Map([ROOT, LIST].map((frame) => [frame, new Uint32Array(1024)]));
  const page = (frame: Gfn): Uint32Array | undefined => pages.get(frame);
  const memory = { page, writablePage: page };
  const sent: bigint[] = [];
  const guest = createHekiGuest({
    kernel: {
      memory,
      pageTableRoot: ROOT as Gfn,
      levels: 4,
      validFrames: [{ start: 0 as Gfn, end: (2 ** 34) as Gfn }],
      directMap: DIRECT_MAP,
      allocatePage: () => ({ frame: LIST as Gfn, address: 0n as VirtualAddress }),
      freePage: () => {},
      store: ({ frame }, offset, bytes) =>
        writeBytes<Gfn>(memory, (frame * 4096 + offset) as Gpa, bytes) === bytes.length,
    },
    hypervisor: {
      lockCrs: () => 0,
      protectMemory(list) {
        const decoded = decodePageList({ memory, list: BigInt(list) });
        if (!decoded.ok) return -1;
        forEachRange(decoded.pages, (start, end, permissions) => {
          sent.push(BigInt(start) << 12n, BigInt(end) << 12n, BigInt(permissions));
        });
        return 0;
      },
    },
  });
  guest.earlyInit();
  guest.lateInit();
  sent.length = 0;
  const leaves = entries.map((entry) => {
    const [pa = 0n, epa = 0n, permissions = 0n] = entryOf(values, entry);
    return {
      guestFrame: Number(pa >> 12n) as Gfn,
      frames: Number((epa - pa) >> 12n),
      low: (permissions & WRITE) === 0n ? 1 : 3,
      high: (permissions & EXECUTE) === 0n ? XD : 0,
    };
  });
  guest.applyLeaves(HekiCommand.MAP, leaves);
  return sent;
}
