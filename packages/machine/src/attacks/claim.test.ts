import { createHyperv } from '@heki/hyperv';
import { createKvm, createKvmVmm } from '@heki/kvm';
import { PROFILES } from '@heki/series';
import { CR4 } from '@heki/x86';
import { createXen } from '@heki/xen';
import { describe, expect, test } from 'vitest';
import { KernelRights } from '../rights/kernel-rights.ts';
import { ATTACKS } from './attacks.ts';
import { claims, coversPage } from './claim.ts';

const { READ, WRITE, EXECUTE } = KernelRights;

/** Names of the attacks that a machine claims to stop. */
const claimed = (
  capabilities: ReturnType<typeof createKvm>['capabilities'],
  profile = PROFILES[0],
): string[] =>
  ATTACKS.filter(({ claim }) => claim !== undefined && claims(claim, { capabilities, profile })).map(
    ({ name }) => name,
  );

describe('a claim', () => {
  const stores = ['store-text', 'store-text-direct-map', 'store-text-after-pte-edit'];

  test('is made where the hypervisor can do what it takes', () => {
    const everything = [...stores, 'execute-data', 'clear-smep', 'switch-heki-off'];
    expect(claimed(createKvm().capabilities)).toEqual(everything);
    expect(claimed(createKvmVmm().capabilities)).toEqual(everything);
    expect(claimed(createHyperv().capabilities)).toEqual(everything);
    const withoutExecution = everything.filter((name) => name !== 'execute-data');
    expect(claimed(createKvm({ mbec: false }).capabilities)).toEqual(withoutExecution);
    expect(claimed(createXen().capabilities)).toEqual(withoutExecution);
    const { capabilities } = createKvm();
    const pins = { ...capabilities.pins, cr4: capabilities.pins.cr4 & ~CR4.SMEP };
    expect(claimed({ ...capabilities, pins })).not.toContain('clear-smep');
  });

  test('is made by the published series as well, but for its own variables (B-G17)', () => {
    const { capabilities } = createKvm({ profile: 'rfc-v2' });
    const published = ATTACKS.filter(
      ({ claim }) => claim !== undefined && claims(claim, { capabilities, profile: 'rfc-v2' }),
    );
    expect(published.map(({ name }) => name)).toEqual([...stores, 'execute-data', 'clear-smep']);
  });

  test('is not made about legitimate work', () => {
    expect(ATTACKS.filter(({ legitimate }) => legitimate).map(({ claim }) => claim)).toEqual([undefined]);
  });

  test('holds for a page only as far as no mapping lets the kernel use it so', () => {
    const uses = (name: string): boolean[] => {
      const claim = ATTACKS.find((attack) => attack.name === name)?.claim;
      if (claim === undefined) throw new Error(name);
      return [READ, READ | WRITE, READ | EXECUTE, READ | WRITE | EXECUTE].map((allowed) =>
        coversPage(claim, allowed),
      );
    };
    expect(uses('store-text')).toEqual([true, false, true, false]);
    expect(uses('execute-data')).toEqual([true, true, false, false]);
    expect(uses('clear-smep')).toEqual([true, true, true, true]);
  });
});
