import type { Capabilities } from '@heki/hypervisor';
import type { Profile } from '@heki/series';
import { KernelRights } from '../rights/kernel-rights.ts';

/** A machine with Heki, as far as it matters for what it claims. */
export interface Claimant {
  readonly profile: Profile;
  /** Of its hypervisor. */
  readonly capabilities: Capabilities;
}

/** Which machines say that they stop an attack. A success there is a defect; elsewhere it is a limit that is known. */
export interface AttackClaim {
  readonly profiles: readonly Profile[];
  /** Whether the hypervisor can do what it takes. */
  readonly hypervisor: (capabilities: Capabilities) => boolean;
  /**
   * What the attack does with its target. Heki grants what the kernel's mappings of a page allow together, so that it claims nothing
   * about a page that some mapping lets the kernel use so.
   */
  readonly uses?: 'write' | 'execute';
}

/** Whether `claimant` claims to stop an attack, by what it is. */
export function claims(claim: AttackClaim, { profile, capabilities }: Claimant): boolean {
  return claim.profiles.includes(profile) && claim.hypervisor(capabilities);
}

/**
 * Whether a claim holds for a page.
 *
 * @param allowed what the kernel's mappings of the page allow together, an OR of `KernelRights`
 */
export function coversPage({ uses }: AttackClaim, allowed: number): boolean {
  if (uses === undefined) return true;
  return (allowed & (uses === 'write' ? KernelRights.WRITE : KernelRights.EXECUTE)) === 0;
}
