import type { Gpa, Pfn, PhysicalMemory } from '@heki/physical-memory';
import type { Exception, Vcpu } from '@heki/vcpu';
import type { Verdict } from '../denial.ts';
import type { ProtectionRange, Rights } from '../rights.ts';
import type { BackendEvent, Hypervisor, VirtualMachine } from '../virtual-machine.ts';

/** A call that the backend must refuse. */
export interface MalformedCall {
  /** What is wrong with it. */
  readonly name: string;
  /** Makes it on the virtual CPU. Whether the backend took it: `true` is a failure. */
  run(): boolean;
}

/** How a guest asks this backend: its own wire format, over registers and guest memory. */
export interface GuestCalls {
  /** Asks for `ranges` on `vcpu`. Whether the answer was success. */
  request(vcpu: Vcpu, ranges: readonly ProtectionRange[]): boolean;
  /**
   * The rights that a request for `wanted` asks for where the wire format has no words for all rights, as one permission
   * bit for execution by the kernel. Default: `wanted`.
   */
  asksFor?(wanted: Rights): Rights;
  /** Asks for bits of CR0 or CR4 to be pinned. Whether the answer was success. */
  pin?(vcpu: Vcpu, register: 0 | 4, bits: bigint): boolean;
  /**
   * Says that boot has ended. Whether the answer was success. Needed where `immutability` is `end-of-boot`; where it is
   * given, the promise is tried whatever is declared.
   */
  endOfBoot?(vcpu: Vcpu): boolean;
  /**
   * How a guest has an instruction emulated, where the hypervisor has an emulator that guests can reach. Each gives the exception that
   * ends the instruction, or `undefined` when it completes.
   */
  readonly emulator?: {
    /** MOV to CR0 or CR4. */
    movToCr(vcpu: Vcpu, register: 0 | 4, value: bigint): Exception | undefined;
    /** A store to guest-physical memory. */
    store(vcpu: Vcpu, gpa: Gpa, bytes: Uint8Array): Exception | undefined;
  };
  /**
   * A hypervisor inside the guest starts a guest of its own, which has all guest-physical memory at the same addresses: what
   * `vcpu` executes from then on it executes. Whether it runs.
   */
  nested?(vcpu: Vcpu): boolean;
  /** Calls that cannot be read, lists that lead nowhere, numbers without bound: none may change anything. */
  readonly malformed: readonly MalformedCall[];
}

/** Where the kit's guest has what its calls need. */
export interface GuestPlaces<Machine extends VirtualMachine> {
  readonly vm: Machine;
  readonly vcpu: Vcpu;
  /** The host's memory. */
  readonly memory: PhysicalMemory<Pfn>;
  /** Host frame of guest frame 0. */
  readonly backing: Pfn;
  /** First of 64 guest frames that are for {@link GuestCalls} alone, and in whose rights no case meddles. */
  readonly scratch: number;
  /** Guest-physical 0 is mapped here, writable and executable, for the kernel. */
  readonly directMap: bigint;
}

/** Something that happens in a random life. It is done in two machines with the same draws, and must come to the same in both. */
export interface LifeStep {
  readonly name: string;
  /** Does it on `vcpu` or to the machine, and tells its outcome. `below(n)` draws an integer from 0 to n - 1. */
  run(vcpu: Vcpu, below: (count: number) => number): string;
}

/** A backend and, where its guests can ask for anything, how they do. */
export interface ConformanceSetup<
  Machine extends VirtualMachine = VirtualMachine,
  Event extends BackendEvent = BackendEvent,
> {
  readonly hypervisor: Hypervisor<Machine, Event>;
  /**
   * The same backend, with somebody behind it who answers every denial with `verdict`; a denial for which there is no such verdict
   * as it likes. Needed where `denialsDecidedBy` names somebody and several verdicts are declared.
   */
  readonly deciding?: ((verdict: Verdict) => Hypervisor<Machine, Event>) | undefined;
  /** Called for every machine that the kit makes, once it has memory and a virtual CPU. */
  readonly guestCalls?: (places: GuestPlaces<Machine>) => GuestCalls;
  /** What a VMM sets up again where a guest goes on, beside memory, virtual CPUs and their registers: memory slots and the like. */
  readonly carry?: (from: Machine, to: Machine) => void;
  /** What can happen on this backend beside what can on all, for lives that are saved and go on elsewhere. All its state is the machine's. */
  readonly lives?: (places: GuestPlaces<Machine>) => readonly LifeStep[];
}

/** One promise of the contract, as a function that throws a {@link ConformanceFailure} when it is not kept. */
export interface ConformanceCase {
  readonly area:
    | 'declaration'
    | 'rights'
    | 'requests'
    | 'immutability'
    | 'denials'
    | 'large pages'
    | 'host frames'
    | 'virtual CPUs'
    | 'pins'
    | 'hostile guests'
    | 'other writers'
    | 'life-cycle'
    | 'random lives';
  readonly name: string;
  run(): void;
}

/** A promise of the contract that a backend does not keep. */
export class ConformanceFailure extends Error {
  override readonly name: string = 'ConformanceFailure';
}

/** @throws {ConformanceFailure} when `condition` is false */
export function require(condition: boolean, failure: string): asserts condition {
  if (!condition) throw new ConformanceFailure(failure);
}
