import type { Gfn } from '@heki/physical-memory';
import { expect, test } from 'vitest';
import { createGuest, range } from '../testing/guest.ts';

/** Requests and stored values as MEM_ATTR bits. */
const RIGHTS = { 'r--': 1, 'rw-': 3, 'r-x': 5, rwx: 7 } as const;
type Name = keyof typeof RIGHTS;

/** What the published setter stores: a request whose bits are all there already is dropped (B-H1). */
const PUBLISHED: { readonly [current in Name | 'absent']: readonly [Name, Name, Name, Name] } = {
  absent: ['r--', 'rw-', 'r-x', 'rwx'],
  'r--': ['r--', 'rw-', 'r-x', 'rwx'],
  'rw-': ['rw-', 'rw-', 'r-x', 'rwx'],
  'r-x': ['r-x', 'rw-', 'r-x', 'rwx'],
  rwx: ['rwx', 'rwx', 'rwx', 'rwx'],
};

const requests = Object.keys(RIGHTS) as Name[];

for (const [current, published] of Object.entries(PUBLISHED)) {
  for (const [column, request] of requests.entries()) {
    for (const profile of ['rfc-v2', 'hardened'] as const) {
      const result = profile === 'rfc-v2' ? published[column] : request;
      test(`${profile}: ${current} and a request for ${request} give ${result}`, () => {
        const guest = createGuest({ profile });
        if (current in RIGHTS) {
          expect(guest.protect([range(0x200, 0x201, RIGHTS[current as Name])])).toBe(0);
        }
        expect(guest.protect([range(0x200, 0x201, RIGHTS[request])])).toBe(0);
        expect(guest.vm.attributes.get(0x200 as Gfn)).toBe(RIGHTS[result as Name] << 4);
        expect(guest.vm.effectiveRights(0x200 as Gfn)).toMatchObject({
          write: result?.[1] === 'w',
          supervisorExecute: result?.[2] === 'x',
          userExecute: true,
        });
      });
    }
  }
}

test('rfc-v2: a range is dropped only when every page in it has more than the request', () => {
  const guest = createGuest({ profile: 'rfc-v2' });
  guest.protect([range(0x200, 0x202, RIGHTS.rwx), range(0x202, 0x203, RIGHTS['r--'])]);
  guest.protect([range(0x200, 0x202, RIGHTS['r-x'])]);
  expect(guest.vm.attributes.get(0x200 as Gfn)).toBe(0x70);
  guest.protect([range(0x200, 0x203, RIGHTS['r-x'])]);
  expect(guest.vm.attributes.get(0x200 as Gfn)).toBe(0x50);
});
