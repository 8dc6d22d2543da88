import { PROFILES, type Profile } from './profile.ts';

/** Single defects switched on or off against a profile. */
export type DefectChoices<Id extends string> = { readonly [id in Id]?: boolean };

/** Which defects there are. */
export type DefectSwitches<Id extends string> = { readonly [id in Id]: boolean };

/**
 * The switches of `defects`: all on under `rfc-v2` and off under `hardened`, but for `choices`. Choices about other defects are those of
 * other layers: one object with all of them can go to every layer.
 *
 * @throws {RangeError} for a profile that there is not
 */
export function defectSwitches<Id extends string>(
  defects: { readonly [id in Id]: unknown },
  profile: Profile,
  choices: DefectChoices<NoInfer<Id>> = {},
): DefectSwitches<Id> {
  if (!PROFILES.includes(profile)) {
    throw new RangeError(`profile ${JSON.stringify(profile)}: expected one of ${PROFILES.join(', ')}`);
  }
  const ids = Object.keys(defects) as Id[];
  const switches = ids.map((id) => [id, choices[id] ?? profile === 'rfc-v2'] as const);
  return Object.fromEntries(switches) as DefectSwitches<Id>;
}
