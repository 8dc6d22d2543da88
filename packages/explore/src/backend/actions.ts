import {
  MEM_ATTR_EXEC,
  MEM_ATTR_IMMUTABLE,
  MEM_ATTR_READ,
  MEM_ATTR_WRITE,
  type ProtectedRange,
} from '@heki/hypercall/kvm';
import type { Rights } from '@heki/hypervisor';
import type { Gfn, VirtualAddress } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import { CR0, CR4, EFER } from '@heki/x86';
import { clearLedger, effective, type Ledger } from './ledger.ts';
import {
  ALIAS,
  APPROVED_WORD,
  DATA,
  directAddress,
  EVIL_WORD,
  MEMORY,
  physicalAddress,
  REGION,
  REGISTERS,
  TEXT,
  TEXT_MAP,
  type TinyGuest,
} from './tiny-guest.ts';

/** A machine in the middle of a story: the guest, what it was granted, and which properties have fallen. */
export interface Scene {
  readonly guest: TinyGuest;
  readonly ledger: Ledger;
  readonly fallen: Set<string>;
  aliased: boolean;
}

/** Something that can happen. */
export interface BackendAction {
  readonly name: string;
  /** Who does it. The attacker has the whole kernel of the guest; others are allowed to do what they do. */
  readonly by: 'attacker' | 'vmm' | 'device' | 'hypervisor' | 'owner';
  /** Does it. `false` when it cannot happen now: the state is not looked at. */
  run(scene: Scene): boolean;
}

const R = MEM_ATTR_READ;
const W = MEM_ATTR_WRITE;
const X = MEM_ATTR_EXEC;
const FRAME_NAMES: ReadonlyMap<number, string> = new Map([
  [TEXT, 'the text'],
  [DATA, 'the data'],
]);
const WATCHED = [TEXT, DATA];
const TEXT_VA = TEXT_MAP as VirtualAddress;

function letters(permissions: number): string {
  const shown = `${(permissions & R) !== 0 ? 'r' : '-'}${(permissions & W) !== 0 ? 'w' : '-'}${(permissions & X) !== 0 ? 'x' : '-'}`;
  return (permissions & MEM_ATTR_IMMUTABLE) === 0 ? shown : `${shown}, immutable`;
}

function rightsOf(permissions: number): Rights {
  return {
    read: (permissions & R) !== 0,
    write: (permissions & W) !== 0,
    supervisorExecute: (permissions & X) !== 0,
    userExecute: true,
  };
}

function range(start: number, end: number, permissions: number): ProtectedRange {
  return { start: start as Gfn, end: end as Gfn, permissions };
}

/** The outcome of a request, and what was in force before it: P10 wants all of it, or nothing. */
function request(
  { guest, ledger, fallen }: Scene,
  ranges: readonly ProtectedRange[],
  ask: () => number,
): void {
  const before = WATCHED.map((frame) => effective(guest.vm, frame));
  if (ask() !== 0) {
    const after = WATCHED.map((frame) => effective(guest.vm, frame));
    const same = after.every((rights, index) => sameForKernel(rights, before[index]));
    if (!same) fallen.add('P10');
    return;
  }
  ledger.asked = true;
  for (const { start, end, permissions } of ranges) {
    for (const frame of WATCHED) {
      if (frame < start || frame >= end) continue;
      const rights = rightsOf(permissions);
      ledger.granted.set(frame, rights);
      if ((permissions & MEM_ATTR_IMMUTABLE) !== 0 && !ledger.immutable.has(frame)) {
        ledger.immutable.set(frame, rights);
      }
    }
  }
}

function sameForKernel(a: Rights, b: Rights | undefined): boolean {
  return a.read === b?.read && a.write === b.write && a.supervisorExecute === b.supervisorExecute;
}

function asking(ranges: readonly ProtectedRange[], name: string): BackendAction {
  return {
    name,
    by: 'attacker',
    run(scene) {
      request(scene, ranges, () => scene.guest.ask(ranges));
      return true;
    },
  };
}

const ONE_FRAME = [R | X, R | W, R, R | W | X];

const REQUESTS: readonly BackendAction[] = [
  ...WATCHED.flatMap((frame) =>
    ONE_FRAME.map((permissions) =>
      asking(
        [range(frame, frame + 1, permissions)],
        `the guest asks for ${letters(permissions)} on ${FRAME_NAMES.get(frame)}`,
      ),
    ),
  ),
  ...[R | W, R].map((permissions) =>
    asking(
      [range(REGION.start, REGION.end, permissions)],
      `the guest asks for ${letters(permissions)} on the whole 2 MiB`,
    ),
  ),
  asking([range(0, MEMORY.frames, R | W)], 'the guest asks for rw- on all of its memory'),
  asking([range(TEXT, TEXT + 1, R | X | MEM_ATTR_IMMUTABLE)], 'the guest makes the text r-x and immutable'),
  asking([range(TEXT, TEXT + 1, W)], 'the guest asks for the right to write the text without reading it'),
  asking(
    [range(DATA, DATA + 1, R), range(0x1000, 0x1001, R)],
    'the guest asks for r-- on the data, and in the same list for a frame that is not memory',
  ),
];

/** Lists that no honest guest writes. None may be taken, nor harm the host. */
const HOSTILE: readonly BackendAction[] = (
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
      request(scene, [], () => scene.guest.askRaw(count, next, entries));
      return true;
    },
  }),
);

function access(name: string, run: (scene: Scene, vcpu: Vcpu) => void): readonly BackendAction[] {
  return [0, 1].map((cpu) => ({
    name: `processor ${cpu} ${name}`,
    by: 'attacker',
    run(scene) {
      const vcpu = scene.guest.vcpus[cpu];
      if (vcpu === undefined || vcpu.halted !== undefined) return false;
      run(scene, vcpu);
      return true;
    },
  }));
}

/** The kernel executes at an address: P6 looks at the bytes. */
function execute({ ledger, fallen }: Scene, vcpu: Vcpu, va: VirtualAddress): void {
  const outcome = vcpu.fetch(va, 4);
  if (outcome.kind !== 'done' || outcome.absent === true || !ledger.asked) return;
  const [a = 0, b = 0, c = 0, d = 0] = outcome.value;
  if ((a | (b << 8) | (c << 16) | (d << 24)) >>> 0 !== APPROVED_WORD) fallen.add('P6');
}

const ACCESSES: readonly BackendAction[] = [
  ...WATCHED.flatMap((frame) => [
    ...access(`reads ${FRAME_NAMES.get(frame)}`, (_, vcpu) => {
      vcpu.load(directAddress(frame), 4);
    }),
    ...access(`stores to ${FRAME_NAMES.get(frame)}`, (_, vcpu) => {
      vcpu.store(directAddress(frame), 4, BigInt(EVIL_WORD));
    }),
    ...access(`executes ${FRAME_NAMES.get(frame)}`, (scene, vcpu) =>
      execute(scene, vcpu, directAddress(frame)),
    ),
  ]),
  {
    name: 'the guest maps the address of the text to the data',
    by: 'attacker',
    run({ guest }) {
      guest.mapText(DATA);
      return true;
    },
  },
  {
    name: 'processor 0 executes at the address of the text',
    by: 'attacker',
    run(scene) {
      const { guest, ledger, fallen } = scene;
      const [vcpu] = guest.vcpus;
      if (vcpu === undefined || vcpu.halted !== undefined) return false;
      execute(scene, vcpu, TEXT_VA);
      const outcome = vcpu.fetch(TEXT_VA, 4);
      const isText = outcome.kind !== 'done' || outcome.value[0] === guest.firstWord(TEXT) % 256;
      if (ledger.asked && !isText) fallen.add('P7');
      return true;
    },
  },
];

const MASK = ~0n;

/** A MOV to a control register that clears what was pinned: the register tells whether it did. */
function unpin(name: string, cr: 0 | 4, bit: bigint): readonly BackendAction[] {
  return access(`clears ${name}`, ({ ledger, fallen }, vcpu) => {
    vcpu.movToCr(cr, vcpu.registers[`cr${cr}`] & (MASK ^ bit));
    const cleared = (vcpu.registers[`cr${cr}`] & bit) === 0n;
    if (cleared && ledger.pinned) fallen.add('CR');
    if (cleared) vcpu.movToCr(cr, REGISTERS[`cr${cr}`]);
  });
}

/** A processor comes from INIT to the kernel's mode, as its trampoline has it. Whether it arrived. */
function trampoline(vcpu: Vcpu): boolean {
  const { cr0, cr3, cr4, efer } = REGISTERS;
  vcpu.movToCr(4, cr4);
  vcpu.movToCr(3, cr3);
  vcpu.wrmsr(0xc000_0080, efer & ~EFER.LMA);
  vcpu.movToCr(0, cr0);
  if ((vcpu.registers.cr0 & CR0.PG) === 0n) return false;
  vcpu.registers.codeSegment64 = true;
  return vcpu.halted === undefined && vcpu.load(directAddress(0), 4).kind === 'done';
}

/** The machine begins anew, or another kernel does: what the backend declares of it. */
function begin(kind: 'reset' | 'kexec'): BackendAction {
  return {
    name: kind === 'reset' ? 'the machine is reset' : 'another kernel takes over by kexec',
    by: 'owner',
    run({ guest, ledger, fallen }) {
      const { vm, vcpus, capabilities } = guest;
      vm.lifeCycle({ kind });
      for (const vcpu of vcpus) Object.assign(vcpu.registers, REGISTERS);
      if (capabilities.lifeCycle[kind] === 'keep') {
        // A VMM that wants the next kernel to run must be able to take everything back.
        if (kind === 'reset' && !capabilities.saveRestore) fallen.add('P11');
        return true;
      }
      clearLedger(ledger);
      return true;
    },
  };
}

const LIFE: readonly BackendAction[] = [
  {
    name: 'the guest pins its control registers',
    by: 'attacker',
    run({ guest, ledger }) {
      if (guest.hypervisor.lockCrs() === 0) ledger.pinned = true;
      return true;
    },
  },
  ...unpin('CR4.SMEP', 4, CR4.SMEP),
  ...unpin('CR0.WP', 0, CR0.WP),
  {
    name: 'processor 1 takes INIT and starts again',
    by: 'owner',
    run({ guest, fallen }) {
      const vcpu = guest.vcpus[1];
      if (vcpu === undefined) return false;
      guest.vm.lifeCycle({ kind: 'init', vcpu: 1 });
      if (!trampoline(vcpu)) fallen.add('P11');
      return true;
    },
  },
  begin('reset'),
  begin('kexec'),
];

/** The bytes of a frame that may not be written, before and after somebody else wrote to it. */
function foreignStore(
  name: string,
  by: BackendAction['by'],
  writer: 'dma' | 'vmm' | 'hypervisor',
): BackendAction {
  return {
    name,
    by,
    run({ guest }) {
      guest.vm.write(writer, physicalAddress(TEXT), new Uint8Array([0x0b, 0x0f, 0x0b, 0x0f]));
      return true;
    },
  };
}

const OTHERS: readonly BackendAction[] = [
  foreignStore('a device writes to the text by DMA', 'device', 'dma'),
  foreignStore('the VMM writes to the text', 'vmm', 'vmm'),
  foreignStore('the hypervisor writes to the text on behalf of the guest', 'hypervisor', 'hypervisor'),
  {
    name: 'the VMM adds a slot that shows the same memory again',
    by: 'vmm',
    run(scene) {
      if (scene.aliased) return false;
      scene.aliased = true;
      try {
        scene.guest.addAlias();
      } catch {
        // The backend takes no second slot over this memory: so nothing has happened.
        return false;
      }
      return true;
    },
  },
  ...access('stores to the text through the second slot', (_, vcpu) => {
    vcpu.store(directAddress(ALIAS), 4, BigInt(EVIL_WORD));
  }),
  {
    name: "the VMM takes the guest's memory away and gives it back",
    by: 'vmm',
    run({ guest }) {
      guest.replaceMemory();
      return true;
    },
  },
  {
    name: 'the VMM saves what is enforced, and restores it',
    by: 'vmm',
    run({ guest, fallen }) {
      const state = guest.vm.save();
      if (state === undefined) return false;
      if (!guest.vm.restore(state)) fallen.add('P13');
      return true;
    },
  },
];

/** Everything that can happen on any backend. */
export const BACKEND_ACTIONS: readonly BackendAction[] = [...REQUESTS, ...ACCESSES, ...LIFE, ...OTHERS];

/** What can be sent besides where a guest hands page lists to the hypervisor itself. */
export const HOSTILE_LISTS: readonly BackendAction[] = HOSTILE;
