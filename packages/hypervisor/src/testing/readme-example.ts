import { formatRights, type ProtectionResult, type Rights, sameRights } from '@heki/hypervisor';

const data: Rights = { read: true, write: true, supervisorExecute: false, userExecute: true };

/** What somebody who asked for `wanted` should know about the answer. */
function comment(wanted: Rights, { applied, weakened, refused }: ProtectionResult): string {
  const worse = weakened.filter(({ granted }) => !sameRights(granted, wanted));
  const but = worse.map(({ granted }) => `, of these as ${formatRights(granted)}: ${worse.length}`).join('');
  return `wanted ${formatRights(wanted)}: ${applied} applied${but}${refused ? `, then refused: ${refused.why}` : ''}`;
}

const range = { start: 0x200, end: 0x400, rights: data } as ProtectionResult['weakened'][0]['range'];
console.log(comment(data, { applied: 3, weakened: [] }));
console.log(
  comment(data, { applied: 1, weakened: [{ range, granted: { ...data, supervisorExecute: true } }] }),
);
console.log(comment(data, { applied: 0, weakened: [], refused: { at: 0, why: 'immutable' } }));
