import type { HekiGuest } from '@heki/guest';
import type { KernelOutcome, LinuxKernel } from '@heki/linux';
import type { Attacker, LinkedModule, LinuxMachine } from '@heki/machine';
import type { Gfn, Gpa, VirtualAddress } from '@heki/physical-memory';
import type { Registers } from '@heki/vcpu';
import type { Aims } from '../judge/aims.ts';
import type { Places } from '../kernel/places.ts';
import type { Vmm } from './vmm.ts';

/** Everything that an attack may use: an attacker's means, and a kernel that goes on with its own work. */
export interface Lab {
  readonly aims: Aims;
  /** The attacker on the processor that the kernel runs on, and on the other one. */
  readonly cpu: Attacker;
  readonly second: Attacker;
  /** Of the kernel's processor, to look at. */
  readonly registers: Readonly<Registers>;
  /** Where things are that he knows of. */
  readonly places: Places;

  /** The kernel does its own work: no attacker acts here, and that it is done is taken for granted. */
  prepare<Value>(what: string, work: (kernel: LinuxKernel) => KernelOutcome<Value>): Value;
  /** A function of the kernel is called for the attacker; its value, unless it was refused or did not come to its end. */
  call<Value>(what: string, work: (kernel: LinuxKernel) => KernelOutcome<Value>): Value | undefined;
  /** The same for a call of the hypervisor or the secure kernel that answers with a number, negative for an error. */
  request(what: string, call: () => number): number;

  /** A page of data that the attacker got as any code of the kernel does. */
  page(): VirtualAddress;
  /** The frame behind an address, found with loads. @throws {NotExpressible} when nothing is mapped there */
  frameOf(va: VirtualAddress): Gfn;
  /** A frame in the direct map. */
  direct(frame: Gfn, offset?: number): VirtualAddress;
  /** Changes every entry on the way to `va`, by stores through the direct map. */
  edit(va: VirtualAddress, change: (entry: bigint) => bigint): void;
  /** Has the last entry on the way to `va` map `frame` instead. */
  pointAt(va: VirtualAddress, frame: Gfn, on?: Attacker): void;
  /** Maps `frame` for a user program, writable and executable, in page tables of the attacker's: where. */
  userMapping(frame: Gfn): VirtualAddress;
  /** Stores the attacker's code. */
  plant(va: VirtualAddress, on?: Attacker): void;
  /** Sends a page list of the attacker's own words, through the kernel's driver. The answer. */
  sendList(words: readonly bigint[], gpa?: (list: Gpa) => Gpa): number;
  /** The calls of a secure kernel. @throws {NotExpressible} where there is none */
  secureKernel(): NonNullable<HekiGuest['secureKernel']>;
  /** The file of a module that somebody signed. @throws {NotExpressible} where no owner of code wants one */
  moduleFile(image: LinkedModule): Uint8Array;
  /** A device writes by DMA. */
  dma(gpa: Gpa, bytes: Uint8Array): void;
  /** The hypervisor stores for the guest, into a place that the guest names: a clock, a string instruction of a device. */
  hypervisorStore(gpa: Gpa, bytes: Uint8Array): void;
  readonly vmm: Vmm;
  /** INIT for the other processor. */
  init(): void;
  /**
   * Runs a guest of the attacker's on the kernel's processor, in tables of his that map the first GiB as it is, and leaves it again.
   *
   * @param act what he does in it
   * @param exitLoads what its VM exit loads; default: what the kernel has
   * @throws {NotExpressible} where there is no way to
   */
  nestedGuest(act: () => void, exitLoads?: { readonly cr4: bigint }): void;
  /** The kernel's processor leaves system management mode, whose firmware has changed what it saved. @throws {NotExpressible} where there is none */
  resumeFromSmm(saved: { readonly cr4: bigint }): void;
  /** MOV to a control register, carried out by the hypervisor's emulator. @throws {NotExpressible} where there is none */
  emulatedMovToCr(cr: 0 | 4, value: bigint): void;
  /** There is nothing here that this attack is about. */
  notExpressible(why: string): never;
  /** @throws {NotExpressible} where no kernel lives */
  readonly machine: LinuxMachine;
}
