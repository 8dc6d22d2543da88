import { describe, expect, it } from 'vitest';
import { KVM_ABI_REVISIONS, type KvmAbi } from './abi.ts';
import { CR4_PINNED_MASK } from './control-register.ts';
import { hypercallResultText, KvmError } from './hypercall.ts';
import {
  attributesOfPermissions,
  HEKI_ATTRIBUTE_EXEC,
  HEKI_ATTRIBUTE_IMMUTABLE,
  HEKI_ATTRIBUTE_MASK,
  HEKI_ATTRIBUTE_READ,
  HEKI_ATTRIBUTE_WRITE,
  KVM_MEMORY_ATTRIBUTE_PRIVATE,
  MEM_ATTR_EXEC,
  MEM_ATTR_IMMUTABLE,
  MEM_ATTR_PROT,
  MEM_ATTR_READ,
  MEM_ATTR_WRITE,
  permissionLogText,
  permissionsOfAttributes,
  permissionText,
} from './permission.ts';

describe('numbers between KVM and the VMM', () => {
  const revisions = new Map<string, KvmAbi>(Object.entries(KVM_ABI_REVISIONS));
  const upstream: KvmAbi = KVM_ABI_REVISIONS.upstream;

  it('give every exit and every capability of a revision a number of its own', () => {
    for (const { exits, capabilities } of revisions.values()) {
      for (const table of [exits, capabilities]) {
        expect(new Set(Object.values(table)).size).toBe(Object.values(table).length);
      }
    }
  });

  it('say for each number of Heki what upstream has since made of it', () => {
    for (const { exits, capabilities, reusedUpstream } of revisions.values()) {
      for (const [table, reused, now] of [
        [exits, reusedUpstream.exits, upstream.exits],
        [capabilities, reusedUpstream.capabilities, upstream.capabilities],
      ] as const) {
        const published = [table.HEKI_CONFIGURE, table.HEKI_DENIAL].filter(
          (number) => (number ?? 1e9) < 1000,
        );
        expect(Object.keys(reused).map(Number)).toEqual(published);
        for (const [name, number] of Object.entries(now)) {
          if (number in reused) expect(reused[number]).toBe(name);
        }
      }
    }
  });
});

describe('permissions', () => {
  it('become Heki attributes of the same names, and back', () => {
    const pairs = [
      [MEM_ATTR_READ, HEKI_ATTRIBUTE_READ],
      [MEM_ATTR_WRITE, HEKI_ATTRIBUTE_WRITE],
      [MEM_ATTR_EXEC, HEKI_ATTRIBUTE_EXEC],
      [MEM_ATTR_IMMUTABLE, HEKI_ATTRIBUTE_IMMUTABLE],
      [MEM_ATTR_PROT, HEKI_ATTRIBUTE_MASK],
    ] as const;
    for (const [permissions, attributes] of pairs) {
      expect(attributesOfPermissions(permissions)).toBe(attributes);
      expect(permissionsOfAttributes(attributes)).toBe(permissions);
    }
  });

  it('of a page that is only private are empty', () => {
    expect(permissionsOfAttributes(KVM_MEMORY_ATTRIBUTE_PRIVATE)).toBe(0);
  });

  it('read as r-x to people and as r_x in the log of KVM', () => {
    expect([0, 1, 5, 3, 7, 15].map(permissionText)).toEqual(['---', 'r--', 'r-x', 'rw-', 'rwx', 'rwx']);
    expect([0, 1, 5, 3, 7, 15].map(permissionLogText)).toEqual(['___', 'r__', 'r_x', 'rw_', 'rwx', 'rwx']);
  });
});

describe('results and pins', () => {
  it('name KVM errors', () => {
    expect([0, 1, -22, -1000, -12, -5].map(hypercallResultText)).toEqual([
      '0',
      '1',
      '-KVM_EINVAL',
      '-KVM_ENOSYS',
      '-ENOMEM',
      '-5',
    ]);
    expect(hypercallResultText(-KvmError.EOPNOTSUPP)).toBe('-KVM_EOPNOTSUPP');
  });

  it('pin UMIP, FSGSBASE, SMEP, SMAP and CET of CR4', () => {
    const bits = [11n, 16n, 20n, 21n, 23n];
    expect(CR4_PINNED_MASK).toBe(bits.reduce((mask, bit) => mask | (1n << bit), 0n));
  });
});
