import type { KernelOutcome } from '@heki/linux';
import type { Attacker, RanCode } from '@heki/machine';
import { addressOf, type Gfn, hex, type VirtualAddress, virtualAddressOf } from '@heki/physical-memory';
import { NotExpressible } from '../attack/not-expressible.ts';
import { createAims } from '../judge/aims.ts';
import { PAYLOAD_QUAD } from '../kernel/functions.ts';
import { placesIn } from '../kernel/places.ts';
import type { BootedMachine } from '../machines/boot-machine.ts';
import { kvmWays } from './kvm-ways.ts';
import type { Lab } from './lab.ts';
import { nestedTables } from './nested-tables.ts';
import { createRecorder, type LabStep } from './recorder.ts';
import { createUserMapping } from './user-mapping.ts';
import { createVmm } from './vmm.ts';

/** Bits 51:12 of an entry. */
const FRAME_BITS = 0x000f_ffff_ffff_f000n;

/** What a judge reads after an attack. */
export interface LabRecord {
  readonly lab: Lab;
  readonly steps: readonly LabStep[];
  /** What was reached of what the attack was after. */
  evidence(): string[];
  /** Whether the kernel still does its work. */
  lives(): boolean;
  /** Aims that the attack has named. */
  readonly named: number;
  sync(): void;
}

/** The kernel's own work did not go: an attack that builds upon it says nothing. */
class PreparationFailed extends NotExpressible {}

/** An attacker's means on a machine that has booted, and a record of their use. */
export function createLab({ machine, incidents, regions, before, moduleFile }: BootedMachine): LabRecord {
  const { kernel, virtualMachine, heki } = machine;
  const places = placesIn(machine);
  const ran: RanCode[] = [];
  const attackerOn = (vcpu = kernel.vcpu): Attacker => {
    const attacker = machine.attackerOn(vcpu);
    return {
      ...attacker,
      run(va) {
        const attempt = attacker.run(va);
        if (attempt.value !== undefined) ran.push(attempt.value);
        return attempt;
      },
    };
  };
  const cpu = attackerOn();
  const second = attackerOn(machine.vcpus[1]);
  const recorder = createRecorder(() => [cpu, second]);
  const judge = machine.attackerOn();
  const call = (va: VirtualAddress): bigint | undefined => {
    const { value } = judge.run(va);
    return value?.end === 'returned' ? value.rax : undefined;
  };
  const { hijacked } = recorder;
  const observed = createAims({ machine, ran, incidents, hijacked, call });
  const directMap = BigInt.asUintN(64, virtualAddressOf(kernel.layout.directMap));
  const direct = (frame: Gfn, offset = 0): VirtualAddress =>
    (directMap + BigInt(addressOf(frame) + offset)) as VirtualAddress;
  const prepared = <Value>(what: string, outcome: KernelOutcome<Value>): Value => {
    if (outcome.kind === 'done') return outcome.value;
    const why = outcome.kind === 'error' ? `${outcome.errno}: ${outcome.why}` : outcome.kind;
    throw new PreparationFailed(`the kernel cannot ${what} here: ${why}`);
  };

  const lab: Lab = {
    machine,
    aims: observed.aims,
    cpu,
    second,
    places,
    prepare: (what, work) => prepared(what, work(kernel)),
    call: (what, work) => recorder.kernel(what, () => work(kernel)),
    request: (what, make) => recorder.request(what, make),
    page: () => prepared('allocate a page', kernel.vmalloc(1)).address,
    frameOf(va) {
      const frame = cpu.frameOf(va);
      if (frame === undefined) throw new NotExpressible(`nothing is mapped at ${hex(va)}`);
      return frame;
    },
    direct,
    edit(va, change) {
      for (const { address, value } of cpu.findEntries(va) ?? []) {
        if (change(value) !== value) cpu.store(address, 8, change(value));
      }
      cpu.flush(va);
    },
    pointAt(va, frame, on = cpu) {
      const leaf = on.findEntries(va)?.at(-1);
      if (leaf === undefined) throw new NotExpressible(`nothing is mapped at ${hex(va)}`);
      if (leaf.level !== 1) throw new NotExpressible(`a large leaf maps ${hex(va)}`);
      on.store(leaf.address, 8, (leaf.value & ~FRAME_BITS) | (BigInt(frame) << 12n));
      on.flush(va);
    },
    userMapping: createUserMapping({
      cpu,
      directMap: direct,
      allocate: () => prepared('allocate a page', kernel.allocatePages()),
      root: kernel.pageTableRoot,
      levels: kernel.layout.levels,
    }),
    plant: (va, on = cpu) => void on.store(va, 8, PAYLOAD_QUAD),
    sendList(words, gpaOf = (list) => list) {
      const { hypervisor } = heki;
      if (hypervisor === undefined) throw new NotExpressible('there is no hypervisor to ask');
      const frame = prepared('allocate a page', kernel.allocatePages());
      for (const [index, word] of words.entries()) cpu.store(direct(frame, 8 * index), 8, word);
      return recorder.request('vmcall with a page list of the attacker', () =>
        hypervisor.protectMemory(gpaOf(addressOf(frame))),
      );
    },
    secureKernel() {
      if (heki.secureKernel === undefined) throw new NotExpressible('there is no secure kernel to ask');
      return heki.secureKernel;
    },
    moduleFile(image) {
      if (moduleFile === undefined) throw new NotExpressible('nobody wants the file of a module');
      return moduleFile(image);
    },
    dma: (gpa, bytes) => recorder.store('a device', gpa, () => virtualMachine.write('dma', gpa, bytes)),
    hypervisorStore: (gpa, bytes) =>
      recorder.store('the hypervisor', gpa, () => virtualMachine.write('hypervisor', gpa, bytes)),
    vmm: createVmm({ machine, recorder, regions, before }),
    init: () =>
      recorder.does('INIT for the second processor', () =>
        virtualMachine.lifeCycle({ kind: 'init', vcpu: 1 }),
      ),
    nestedGuest({ cr4 }) {
      const ways = kvmWays(machine);
      const tables = nestedTables({
        cpu,
        directMap: direct,
        allocate: () => prepared('allocate a page', kernel.allocatePages()),
        amd: kernel.vcpu.processor.vendor === 'amd',
      });
      recorder.asks(`VM entry to a guest of the attacker, whose exit loads CR4 ${hex(cr4)}`, () => {
        if (!ways.enterNested(kernel.vcpu, tables, { host: { cr4 } }))
          return 'the hypervisor enters no such guest';
        ways.leaveNested(kernel.vcpu);
        return undefined;
      });
    },
    emulatedMovToCr(cr, value) {
      const ways = kvmWays(machine);
      recorder.asks(`the hypervisor emulates mov ${hex(value)} to cr${cr}`, () => {
        const { kind } = ways.emulateMovToCr(kernel.vcpu, cr, value);
        return kind === 'exception' ? 'it raises an exception' : undefined;
      });
    },
    notExpressible(why) {
      throw new NotExpressible(why);
    },
  };
  return {
    lab,
    steps: recorder.steps,
    evidence: observed.evidence,
    get named() {
      return observed.named;
    },
    sync: recorder.sync,
    lives() {
      if (kernel.vcpu.halted !== undefined) return false;
      const { credentials, alive } = places;
      const { value } = judge.load(credentials, 8);
      return (
        value !== undefined &&
        judge.store(credentials, 8, value).step.outcome === 'done' &&
        call(alive) !== undefined
      );
    },
  };
}
