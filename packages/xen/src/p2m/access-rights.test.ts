import { XenAccess } from '@heki/hypercall/xen';
import { describe, expect, it } from 'vitest';
import { accessOfRights, eptRightsOf, isExpressible, rightsOfAccess } from './access-rights.ts';

/** Every access type with the rights that its name spells; `rx2rw` and `n2rwx` as they are before their first access. */
const TYPES: readonly (readonly [name: Exclude<keyof typeof XenAccess, 'DEFAULT'>, rights: string])[] = [
  ['N', '---'],
  ['R', 'r--'],
  ['W', '-w-'],
  ['RW', 'rw-'],
  ['X', '--x'],
  ['RX', 'r-x'],
  ['WX', '-wx'],
  ['RWX', 'rwx'],
  ['RX2RW', 'r-x'],
  ['N2RWX', '---'],
];

describe('an access type', () => {
  it.each(TYPES)('%s grants %s, and one right to execute to kernel and user alike', (name, rights) => {
    const access = XenAccess[name];
    const execute = rights[2] === 'x';
    expect(rightsOfAccess(access)).toEqual({
      read: rights[0] === 'r',
      write: rights[1] === 'w',
      supervisorExecute: execute,
      userExecute: execute,
    });
    const bits = (rights[0] === 'r' ? 1 : 0) | (execute ? 0x404 : 0);
    expect(eptRightsOf(access, false)).toBe(bits | (rights[1] === 'w' ? 2 : 0));
    expect(eptRightsOf(access, true)).toBe(bits);
  });

  it('is what rights ask for, execution for both as soon as one of them has it', () => {
    for (const [read, write, supervisorExecute, userExecute] of Array.from({ length: 16 }, (_, bits) =>
      [8, 4, 2, 1].map((bit) => (bits & bit) !== 0),
    ) as [boolean, boolean, boolean, boolean][]) {
      const access = accessOfRights({ read, write, supervisorExecute, userExecute });
      const execute = supervisorExecute || userExecute;
      expect(rightsOfAccess(access)).toEqual({
        read,
        write,
        supervisorExecute: execute,
        userExecute: execute,
      });
    }
  });

  it('can be held by EPT unless it is writable and not readable, or execute-only on a processor without that', () => {
    const refused = (executeOnly: boolean): string[] =>
      TYPES.map(([name]) => name).filter((name) => !isExpressible(XenAccess[name], executeOnly));
    expect(refused(true)).toEqual(['W', 'WX']);
    expect(refused(false)).toEqual(['W', 'X', 'WX']);
  });
});
