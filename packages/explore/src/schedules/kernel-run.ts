import type { BackendEvent, Hypervisor, VirtualMachine } from '@heki/hypervisor';
import { VcpuWaits } from '@heki/hypervisor';
import {
  createLinuxMachine,
  createSigningAuthority,
  type HekiDriver,
  pcMemoryMap,
  type SigningAuthority,
} from '@heki/machine';
import type { VirtualAddress } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import type { Choose } from './explore-schedules.ts';
import type { Footprint } from './footprint.ts';
import { type Watch, watchedHypervisor } from './watched-hypervisor.ts';

/** A hypervisor under a kernel that boots. */
export interface ScheduledHypervisor {
  readonly name: string;
  /** Makes it anew. @param signed the module that is loaded, for a secure kernel that trusts who signed it */
  create(signed: SigningAuthority['signed']): Hypervisor<VirtualMachine, BackendEvent>;
  readonly driver: HekiDriver;
}

/** A single access of another processor, at a place in the text of the module. */
type Deed = 'reads' | 'stores to' | 'puts right' | 'executes';

/** What each of the other processors does, in this order; the kernel runs on processor 0. */
export type OtherProcessors = readonly (readonly Deed[])[];

/** A step, as whoever told the run to go on hears of it. `thread` 0 is the kernel, the others are processors by their numbers. */
export interface KernelStep {
  readonly thread: number;
  readonly line: string;
  readonly footprint: Footprint;
  /** The ids of the properties that steps up to this one have seen fall. */
  readonly broken: ReadonlySet<string>;
}

const NAME = 'm';
const TEXT = new Uint8Array(4096).fill(0x90);
/** Without KASLR the first module lies where the area for modules begins (MODULES_VADDR). */
const MODULES = 0xffff_ffff_c000_0000n;
const PLACE = (MODULES + 0x20n) as VirtualAddress;
const SIGNED = 0x90;
const EVIL = 0xcc;
const MEMORY = 64 * 2 ** 20;

/** What a fetch at {@link PLACE} has seen. */
function execute(vcpu: Vcpu, broken: Set<string>): void {
  const fetched = vcpu.fetch(PLACE);
  if (fetched.kind === 'done' && fetched.value[0] !== SIGNED) broken.add('P6');
}

const DEEDS: { readonly [deed in Deed]: (vcpu: Vcpu, broken: Set<string>) => void } = {
  reads: (vcpu) => void vcpu.load(PLACE, 1),
  'stores to': (vcpu) => void vcpu.store(PLACE, 1, BigInt(EVIL)),
  'puts right': (vcpu) => void vcpu.store(PLACE, 1, BigInt(SIGNED)),
  executes: execute,
};

/**
 * Boots a kernel and has it load a module and execute it, while the other processors do what they do: whoever `choose` gives a step, wherever the kernel lets others
 * have one (behind each of its accesses, and at each point at which a request of it yields).
 *
 * @param choose `undefined`: the kernel goes on alone, and nobody looks
 * @returns the ids of the properties that a step has seen fall
 */
export function runKernel(
  { create, driver }: ScheduledHypervisor,
  others: OtherProcessors,
  choose: Choose,
  onStep: (step: KernelStep) => void,
): ReadonlySet<string> {
  const authority = createSigningAuthority();
  const image = { name: NAME, memory: { text: TEXT } };
  authority.sign(image);
  const { hypervisor, watch } = watchedHypervisor(create(authority.signed));
  const machine = createLinuxMachine({
    hypervisor,
    driver,
    memoryMap: pcMemoryMap(MEMORY),
    vcpus: 1 + others.length,
    interleaved: true,
  });
  const { kernel } = machine;
  const booted = kernel.boot();
  if (booted.kind !== 'done') throw new RangeError(`the kernel does not boot: ${booted.kind}`);

  const broken = new Set<string>();
  const turns = new Turns(others, machine.vcpus, watch, choose, onStep, broken);
  let moment = 0;
  machine.interleave = (within) => {
    moment++;
    turns.kernelCame(
      `the kernel goes on, to moment ${moment}${within === undefined ? '' : ` (${within})`}`,
      within !== undefined,
    );
  };
  turns.begin();
  const loaded = kernel.loadModule(image);
  machine.interleave = undefined;
  if (loaded.kind === 'done' && loaded.value.memory.get('text')?.address !== MODULES)
    throw new RangeError(`the module does not lie where it should: expected ${MODULES.toString(16)}`);
  turns.kernelCame(
    `the kernel goes on, until it is done (the module is ${loaded.kind === 'done' ? '' : 'not '}loaded)`,
    false,
  );
  turns.kernelEnds(() => execute(kernel.vcpu, broken));
  return broken;
}

/** Who has the next step. */
class Turns {
  readonly #others: OtherProcessors;
  readonly #vcpus: readonly Vcpu[];
  readonly #watch: Watch;
  readonly #choose: Choose;
  readonly #onStep: (step: KernelStep) => void;
  readonly #broken: Set<string>;
  /** How many steps each of the others has done. */
  readonly #done: number[];
  #kernelRuns = true;
  #isLeft = false;

  constructor(
    others: OtherProcessors,
    vcpus: readonly Vcpu[],
    watch: Watch,
    choose: Choose,
    onStep: (step: KernelStep) => void,
    broken: Set<string>,
  ) {
    this.#others = others;
    this.#vcpus = vcpus;
    this.#watch = watch;
    this.#choose = choose;
    this.#onStep = onStep;
    this.#broken = broken;
    this.#done = others.map(() => 0);
  }

  begin(): void {
    this.#give(false);
  }

  /** The kernel has done a step, and others may have theirs until it is to go on. */
  kernelCame(line: string, within: boolean): void {
    if (this.#isLeft) return;
    this.#onStep({ thread: 0, line, footprint: this.#watch.end(within), broken: this.#broken });
    this.#give(within);
  }

  /** The last step of the kernel, and what the others have left. */
  kernelEnds(last: () => void): void {
    if (this.#isLeft) return;
    last();
    this.#kernelRuns = false;
    this.kernelCame(`the kernel executes the module`, false);
  }

  #give(within: boolean): void {
    for (;;) {
      const enabled = [
        ...(this.#kernelRuns ? [0] : []),
        ...this.#others.flatMap((deeds, index) =>
          (this.#done[index] ?? 0) < deeds.length ? [index + 1] : [],
        ),
      ];
      if (enabled.length === 0) return;
      const thread = this.#choose(enabled);
      this.#isLeft = thread === undefined;
      if (thread === undefined) return;
      if (thread === 0) {
        this.#watch.begin(within);
        return;
      }
      this.#step(thread);
    }
  }

  #step(thread: number): void {
    const done = this.#done[thread - 1] ?? 0;
    const deed = this.#others[thread - 1]?.[done];
    const vcpu = this.#vcpus[thread];
    if (deed === undefined || vcpu === undefined)
      throw new RangeError(`processor ${thread} has nothing to do`);
    this.#done[thread - 1] = done + 1;
    this.#watch.begin(false);
    try {
      DEEDS[deed](vcpu, this.#broken);
    } catch (stop) {
      // It needs a lock that the kernel's request holds, and gives up: what it does later, it does in another schedule.
      if (!(stop instanceof VcpuWaits)) throw stop;
    }
    this.#onStep({
      thread,
      line: deedLine(thread, deed),
      footprint: this.#watch.end(false),
      broken: this.#broken,
    });
  }
}

function deedLine(thread: number, deed: Deed): string {
  const what = deed === 'puts right' ? "puts the module's byte right again" : `${deed} the module's text`;
  return `processor ${thread} ${what}`;
}
