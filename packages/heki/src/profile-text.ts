import type { MachineSettings } from '@heki/machine';

/** The profile, and what differs from it: `hardened with B-H1, without B-G5; secure kernel lvbs-2026-02`. */
export function profileText({
  profile,
  defects,
  secureKernel = 'hardened',
}: Pick<MachineSettings, 'profile' | 'defects'> & Partial<Pick<MachineSettings, 'secureKernel'>>): string {
  const switched = (on: boolean): string[] => Object.keys(defects).filter((id) => defects[id] === on);
  const words = [
    [' with ', switched(true)],
    [', without ', switched(false)],
  ] as const;
  const differing = words.map(([word, ids]) => (ids.length === 0 ? '' : `${word}${ids.join(' and ')}`));
  return `${profile}${differing.join('')}${secureKernel === 'hardened' ? '' : `; secure kernel ${secureKernel}`}`;
}
