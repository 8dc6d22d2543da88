import type { VirtualAddress } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import { CR0, CR4, EFER } from '@heki/x86';
import { ALIAS, DATA, FRAME_NAMES, FRAMES, TEXT } from './frames.ts';
import { clearLedger } from './ledger.ts';
import { REQUESTS } from './requests.ts';
import type { BackendAction, Scene } from './scene.ts';
import {
  APPROVED_WORD,
  directAddress,
  EVIL_WORD,
  physicalAddress,
  REGISTERS,
  TEXT_MAP,
} from './tiny-guest.ts';

const TEXT_VA = TEXT_MAP as VirtualAddress;

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
  ...FRAMES.flatMap((frame) => [
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
  {
    name: 'the guest says that boot has ended',
    by: 'attacker',
    run({ guest, ledger }) {
      const { secureKernel } = guest.hypervisor;
      if (secureKernel === undefined) return false;
      if (secureKernel.finishBoot() === 0) ledger.bootEnded = true;
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
    run({ guest, ledger }) {
      if (ledger.aliased) return false;
      try {
        guest.addAlias();
      } catch {
        // The backend takes no second slot over this memory: so nothing has happened.
        return false;
      }
      ledger.aliased = true;
      return true;
    },
  },
  {
    name: 'the VMM takes the second slot away',
    by: 'vmm',
    run({ guest, ledger }) {
      if (!ledger.aliased) return false;
      guest.removeAlias();
      ledger.aliased = false;
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
