import type { Profile } from '@heki/series';
import { ExitCode } from '../failure.ts';

/**
 * What a finding is about.
 *
 * - `refused`: Heki, or the hypervisor, refused to protect the kernel
 * - `walk-cut-short`: page tables were not walked to their end, so that what they map is not known
 * - `claimed-attack-succeeded`: an attack got through that the machine claims to stop
 * - `rights-beyond-mappings`: pages are granted what no mapping of them allows, though the hypervisor could withhold it
 * - `work-broken`: legitimate work that the kernel can do without Heki does not go on
 * - `unexpected`: a step of a scenario, or boot, came out otherwise than it should
 */
export type FindingId =
  | 'refused'
  | 'walk-cut-short'
  | 'claimed-attack-succeeded'
  | 'rights-beyond-mappings'
  | 'work-broken'
  | 'unexpected';

/** Something that is not as it should be. */
export interface Finding {
  readonly id: FindingId;
  /** One sentence for people, without a full stop. */
  readonly message: string;
}

/** How a command judges what it finds. */
export interface Strictness {
  readonly profile: Profile;
  /** `--strict`: the defects of the published series count, too. */
  readonly strict: boolean;
}

/** What `rfc-v2` is there to show. */
const DEFECTS: ReadonlySet<FindingId> = new Set([
  'claimed-attack-succeeded',
  'rights-beyond-mappings',
  // On AMD a store to plain data never completes (B-H17).
  'work-broken',
]);

/** Whether a finding makes the command fail: all do, but under `rfc-v2` the defects that it shows only with `--strict`. */
export function makesFail({ id }: Finding, { profile, strict }: Strictness): boolean {
  return strict || profile !== 'rfc-v2' || !DEFECTS.has(id);
}

/** The exit code of a command that found `findings`. */
export function exitCodeOf(findings: readonly Finding[], strictness: Strictness): number {
  return findings.some((finding) => makesFail(finding, strictness)) ? ExitCode.FAILURE : ExitCode.SUCCESS;
}
