import type { KvmOptions } from '../options.ts';
import { type ResolvedOptions, resolveOptions } from '../options.ts';
import type { HekiPolicy } from './policy.ts';
import type { KvmPolicyMachine } from './policy-machine.ts';

/** What a KVM whose policy has an owner outside the guest runs on, and the owner's decisions. */
export interface KvmPolicyOptions
  extends Pick<KvmOptions, 'processor' | 'mbec' | 'gmet' | 'iommu' | 'lifeCycle' | 'budget'> {
  /** Default: everything well-formed is allowed, and what is denied becomes #PF or #GP(0). */
  readonly policy?: HekiPolicy<KvmPolicyMachine>;
}

/** KVM's own options. The series' defects are of the code that the owner takes the place of: none is there. */
export function resolvePolicyOptions({ policy: _, ...options }: KvmPolicyOptions): ResolvedOptions {
  return resolveOptions({ ...options, profile: 'hardened' });
}
