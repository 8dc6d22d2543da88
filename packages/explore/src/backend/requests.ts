import {
  MEM_ATTR_EXEC,
  MEM_ATTR_IMMUTABLE,
  MEM_ATTR_READ,
  MEM_ATTR_WRITE,
  type ProtectedRange,
  permissionText,
} from '@heki/hypercall/kvm';
import type { Capabilities, Rights } from '@heki/hypervisor';
import type { Gfn } from '@heki/physical-memory';
import { ALIAS, DATA, FRAME_NAMES, FRAMES, MEMORY, REGION, TEXT } from './frames.ts';
import { type AskedRange, answered, effective } from './ledger.ts';
import type { BackendAction, Scene } from './scene.ts';

const R = MEM_ATTR_READ;
const W = MEM_ATTR_WRITE;
const X = MEM_ATTR_EXEC;

function askedText(permissions: number): string {
  return `${permissionText(permissions)}${(permissions & MEM_ATTR_IMMUTABLE) === 0 ? '' : ', immutable'}`;
}

/** What a list's bits ask for. They have none for user code: it may execute, on Hyper-V what may be read or executed (LVBS). */
function rightsOf(permissions: number, { executeSplit }: Capabilities): Rights {
  return {
    read: (permissions & R) !== 0,
    write: (permissions & W) !== 0,
    supervisorExecute: (permissions & X) !== 0,
    userExecute: executeSplit !== 'user-without-supervisor' || (permissions & (R | X)) !== 0,
  };
}

/** What a list asks for, as the ledger understands it. */
export function askedRanges(ranges: readonly ProtectedRange[], capabilities: Capabilities): AskedRange[] {
  return ranges.map(({ start, end, permissions }) => ({
    start,
    end,
    rights: rightsOf(permissions, capabilities),
    immutable: (permissions & MEM_ATTR_IMMUTABLE) !== 0,
  }));
}

function range(start: number, end: number, permissions: number): ProtectedRange {
  return { start: start as Gfn, end: end as Gfn, permissions };
}

function sameForKernel(a: Rights, b: Rights | undefined): boolean {
  return a.read === b?.read && a.write === b.write && a.supervisorExecute === b.supervisorExecute;
}

/**
 * Asks, and holds the answer against what was in force before it (P10: all of it, or nothing) and what the small model would have
 * answered (P9).
 */
function request(
  scene: Scene,
  ranges: readonly ProtectedRange[],
  by: 'guest' | 'owner',
  ask: () => boolean,
): void {
  const { guest, ledger, fallen } = scene;
  const { vm, capabilities } = guest;
  const inForce = (): Rights[] => FRAMES.map((frame) => effective(vm, frame));
  scene.known.inForce ??= inForce();
  const before = scene.known.inForce;
  const succeeded = ask();
  const after = inForce();
  scene.known = { inForce: after };
  const changed = after.some((rights, index) => !sameForKernel(rights, before[index]));
  if (!succeeded && changed) fallen.add('P10');
  const asked = askedRanges(ranges, capabilities);
  const answer = succeeded ? 'done' : changed ? 'stopped' : 'refused';
  if (!answered(ledger, capabilities, asked, by, answer)) fallen.add('P9');
}

function asking(ranges: readonly ProtectedRange[], name: string): BackendAction {
  return {
    name,
    by: 'attacker',
    run(scene) {
      request(scene, ranges, 'guest', () => scene.guest.ask(ranges) === 0);
      return true;
    },
  };
}

/** Who owns the policy asks for the text past the guest. */
function owning(permissions: number): BackendAction {
  const ranges = [range(TEXT, TEXT + 1, permissions)];
  return {
    name: `the owner of the policy asks for ${askedText(permissions)} on the text`,
    by: 'owner',
    run(scene) {
      request(scene, ranges, 'owner', () => {
        const { vm, capabilities } = scene.guest;
        const rights = rightsOf(permissions, capabilities);
        return vm.protect(ranges.map(({ start, end }) => ({ start, end, rights }))).refused === undefined;
      });
      return true;
    },
  };
}

export const REQUESTS: readonly BackendAction[] = [
  ...FRAMES.flatMap((frame) =>
    [R | X, R | W, R, R | W | X].map((permissions) =>
      asking(
        [range(frame, frame + 1, permissions)],
        `the guest asks for ${askedText(permissions)} on ${FRAME_NAMES.get(frame)}`,
      ),
    ),
  ),
  ...[R | W, R].map((permissions) =>
    asking(
      [range(REGION.start, REGION.end, permissions)],
      `the guest asks for ${askedText(permissions)} on the whole 2 MiB`,
    ),
  ),
  asking([range(0, MEMORY.frames, R | W)], 'the guest asks for rw- on all of its memory'),
  asking([range(TEXT, TEXT + 1, R | X | MEM_ATTR_IMMUTABLE)], 'the guest makes the text r-x and immutable'),
  asking([range(TEXT, TEXT + 1, W)], 'the guest asks for the right to write the text without reading it'),
  asking(
    [range(DATA, DATA + 1, R), range(0x1000, 0x1001, R)],
    'the guest asks for r-- on the data, and in the same list for a frame that is not memory',
  ),
  ...[R | W, R | X, R | MEM_ATTR_IMMUTABLE].map((permissions) =>
    asking(
      [range(ALIAS, ALIAS + 1, permissions)],
      `the guest asks for ${askedText(permissions)} on the second name of the text`,
    ),
  ),
  owning(R | W),
  owning(R | X),
];

/** Lists that no honest guest writes. None may be taken, nor harm the host. */
export const HOSTILE_LISTS: readonly BackendAction[] = (
  [
    ['a list page that says that it holds 170 entries', 170, 0, []],
    ['a list that leads back to itself', 1, 0x20 * 4096, [[DATA, DATA + 1, R]]],
    ['a list page that is not there', 1, 0x3000 * 4096, [[DATA, DATA + 1, R]]],
    ['a range of 4 TiB and a page', 1, 0, [[0x1000, 0x1001 + 2 ** 30, R]]],
  ] as const
).map(
  ([name, count, next, entries]): BackendAction => ({
    name: `the guest sends ${name}`,
    by: 'attacker',
    run(scene) {
      const nothing = [range(0, 0, R)];
      request(scene, nothing, 'guest', () => scene.guest.askRaw(count, next, entries) === 0);
      return true;
    },
  }),
);
