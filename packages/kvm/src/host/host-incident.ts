import type { KvmDefectId } from '../defects/kvm-defects.ts';

/** What the published host code would have done to its host, had a bound not ended it. */
type HostIncidentKind =
  /** Work or memory without bound. */
  | 'host-exhaustion'
  /** A write outside a host allocation. */
  | 'host-memory-corruption'
  /** A host allocation that nothing frees. */
  | 'host-leak'
  /** A read outside a host allocation. */
  | 'host-out-of-bounds-read';

/** Damage to the host that a defect would have done: the call ended here instead. */
export interface HostIncident {
  readonly type: HostIncidentKind;
  readonly defect: KvmDefectId;
  /** Bytes written, read or leaked out of bounds, or units of work asked for: the exact figure. */
  readonly amount: bigint;
  readonly unit: 'bytes' | 'frames' | 'list pages';
  /** One sentence for people. */
  readonly text: string;
}
