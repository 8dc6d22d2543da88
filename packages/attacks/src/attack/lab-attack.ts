import type { Lab } from '../attacker/lab.ts';
import type { Mechanism } from '../machines/mechanisms.ts';

/** By what somebody attacks, beside instructions of the kernel at CPL 0. */
export type Means =
  /** Functions of the kernel, called out of turn. */
  | 'kernel functions'
  /** Requests to the hypervisor, as the kernel makes them. */
  | 'hypercalls'
  /** A module of the attacker's, or what a module of somebody else's offers. */
  | 'module'
  /** A program for the kernel's JIT. */
  | 'eBPF'
  /** A device that does DMA. */
  | 'device'
  /** Code of a user program, CPL 3. */
  | 'user program'
  /** The firmware of the guest, in system management mode. */
  | 'firmware'
  /** A second processor, which acts between two accesses of the first. */
  | 'second processor'
  /** The VMM itself: no machine here protects a guest from it, and those that say so are told apart. */
  | 'VMM';

/** One attack, written once: it knows neither the profile nor the backend that it meets. */
export interface LabAttack {
  /** Small letters, digits and hyphens. */
  readonly name: string;
  /** What is done. */
  readonly title: string;
  /** What the attacker has, when it succeeds. */
  readonly gains: string;
  /** Where it was published, or what it is derived from. */
  readonly source: string;
  readonly means: readonly Means[];
  /** Mechanisms each of which is said to stop it; empty where none is. */
  readonly stoppedBy: readonly Mechanism[];
  /** Work that must go on, rather than an attack: it shows that a machine lives. Default false. */
  readonly legitimate?: boolean;
  /** Says through {@link Lab.aims} what a success is, and then tries it. */
  run(lab: Lab): void;
  /**
   * Of a race: the kernel's work on the first processor, while {@link RacingAttack.turn} happens on the second one between two accesses
   * of it. {@link run} then only prepares.
   */
  readonly race?: RacingAttack;
}

/** The two halves of a race. */
export interface RacingAttack {
  /** What the kernel does. */
  work(lab: Lab): void;
  /** What the attacker does whenever it is his turn. */
  turn(lab: Lab): void;
  /** What the attacker does when the work is over. */
  after?(lab: Lab): void;
}
