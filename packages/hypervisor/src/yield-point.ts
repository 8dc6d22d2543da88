import type { Vcpu } from '@heki/vcpu';

/** Where the handling of an exit, or of a request of the VMM, is not one step: there another virtual CPU may act. */
export type YieldPoint =
  /** A part of a request was read from guest memory. What was read is not read again. */
  | 'guest-read'
  /** A part of what is stored to guest memory was stored. */
  | 'host-write'
  /** Rights, or pins of one virtual CPU, are about to change. */
  | 'attribute-change'
  /** Entries of the second level are gone, and may be cached by any virtual CPU. */
  | 'zap'
  /** One virtual CPU has forgotten what it cached. */
  | 'flush'
  /** A fault was judged, and nothing is mapped for it yet. */
  | 'fault'
  /** All is done but for the virtual CPU to go on. */
  | 'resume';

/**
 * A fault that was judged, at `fault`. A listener that throws {@link VcpuWaits} there has the virtual CPU stand with it, and calls {@link goOn} before that does
 * anything else; then the access begins anew, as after any fault.
 */
export interface StandingFault {
  /** What it is of, all of it: the access and its guest-physical address, which may be that of a page table that the access needs. */
  readonly of: string;
  /** What it looked at has changed since, or is changing. */
  readonly stale: boolean;
  /** Maps what it was judged to need, or finds that it is stale. */
  goOn(): void;
}

/**
 * Thrown out of an instruction of a virtual CPU that exits at a {@link YieldPoint} of another one, and needs a lock which that one holds: it
 * spins until the other goes on. The instruction has had no effect; whoever gives the turns begins it anew in a later one.
 */
export class VcpuWaits extends Error {
  override readonly name = 'VcpuWaits';

  /** So is what another copy of this package throws: a backend of one's own brings one. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return value instanceof Error && value.name === 'VcpuWaits';
  }
}

/**
 * INIT and reset reach a virtual CPU before it enters the guest again, and not while an exit of it is handled: what that does to its registers
 * would come behind.
 *
 * @throws {VcpuWaits} until it has been answered
 */
export function waitForEntry({ id, left }: Pick<Vcpu, 'id' | 'left'>): void {
  if (left) throw new VcpuWaits(`an exit of virtual CPU ${id} is being handled`);
}
