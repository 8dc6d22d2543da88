import type { FrameRange, Gfn, VirtualFrame } from '@heki/physical-memory';
import { createHekiGuest, type GuestEvent, type HekiGuestOptions } from '../index.ts';
import { at, GuestTables } from './guest-tables.ts';
import type { ModelListPage } from './page-model.ts';
import { readRawList } from './raw-list.ts';
import { createTestKernel } from './test-kernel.ts';

export const READ = 1;
export const WRITE = 2;
export const EXEC = 4;
export const IMMUTABLE = 8;

export const DIRECT_MAP = at('ffff888000000000');
export const VMALLOC = at('ffffc90000000000');
export const IMAGE = at('ffffffff81000000');
export const ALL: readonly FrameRange<Gfn>[] = [{ start: 0 as Gfn, end: 0x4000 as Gfn }];
export const rw = { low: 3, high: 0x8000_0000 };
export const rx = { low: 1, high: 0 };
export const r = { low: 1, high: 0x8000_0000 };

/** 64 MiB, mapped by the direct map; text and rodata of a kernel image. */
export function smallKernel(): GuestTables {
  const tables = new GuestTables({ start: 2 ** 20 });
  tables.map(DIRECT_MAP, 0, 8, '2M', 'rw-');
  tables.map(DIRECT_MAP + 0x1000, 0x1000, 2, '2M', 'r--');
  tables.map(DIRECT_MAP + 0x1400, 0x1400, 22, '2M', 'rw-');
  tables.map(IMAGE, 0x1000, 1, '2M', 'r-x');
  tables.map(IMAGE + 0x200, 0x1200, 1, '2M', 'r--');
  return tables;
}

/** A core in a small kernel, and all that it does to the outside. */
export function start(
  options: Partial<HekiGuestOptions> & {
    readonly tables?: GuestTables;
    readonly validFrames?: typeof ALL;
    readonly ramFrames?: typeof ALL;
    readonly directMapAt?: VirtualFrame;
  } = {},
) {
  const { tables = smallKernel(), validFrames = ALL, ramFrames = validFrames, ...others } = options;
  const { directMapAt = DIRECT_MAP, ...rest } = others;
  const kernel = createTestKernel({
    tables,
    validFrames,
    ramFrames,
    ...(tables.levels === 5 ? {} : { directMapAt }),
  });
  const events: GuestEvent[] = [];
  const lists: ModelListPage[][] = [];
  const world = { answer: 0, lock: 0 };
  const guest = createHekiGuest({
    kernel,
    onEvent: (event) => events.push(event),
    hypervisor: {
      lockCrs: () => world.lock,
      protectMemory(list) {
        lists.push(readRawList(kernel.listMemory, list));
        return world.answer;
      },
    },
    ...rest,
  });
  const log = () => events.flatMap((event) => (event.type === 'log' ? [event.text] : []));
  const protect = () => {
    guest.earlyInit();
    guest.lateInit();
    lists.length = 0;
    events.length = 0;
  };
  /** Entries of the latest list, oldest first: `1000-1200 13`. */
  const sent = () =>
    [...(lists.at(-1) ?? [])]
      .reverse()
      .flatMap(({ entries }) => entries)
      .map((entry) => `${entry.start.toString(16)}-${entry.end.toString(16)} ${entry.permissions}`);
  return { guest, kernel, events, lists, world, log, protect, sent };
}
