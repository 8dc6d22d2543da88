import { type Attack, claims } from '@heki/machine';
import { PROFILES, type Profile } from '@heki/series';
import { HEKI_HYPERVISORS } from '../hypervisor-names.ts';
import { HYPERVISORS } from '../hypervisors.ts';
import { hypervisorOf } from '../specification.ts';

/** Names of machines by profile: `kvm`, and `kvm, no MBEC` for one without mode-based execute control. */
export type ClaimedBy = { readonly [profile in Profile]: readonly string[] };

/** Every machine of the command with Heki, and what it can do. */
const MACHINES = PROFILES.flatMap((profile) =>
  HEKI_HYPERVISORS.flatMap((name) =>
    [true, false].map((mbec) => ({
      profile,
      name: mbec ? name : `${name}, no MBEC`,
      capabilities: hypervisorOf(HYPERVISORS[name], { profile, mbec }, {}).capabilities,
    })),
  ),
);

/** The machines that claim to stop an attack, of a page that no mapping lets the kernel use so. */
export function claimedBy({ claim }: Pick<Attack, 'claim'>): ClaimedBy {
  const names = (wanted: Profile): string[] =>
    claim === undefined
      ? []
      : MACHINES.filter((machine) => machine.profile === wanted && claims(claim, machine)).map(
          ({ name }) => name,
        );
  return { hardened: names('hardened'), 'rfc-v2': names('rfc-v2') };
}
