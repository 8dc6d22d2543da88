import { DEBIAN_6_1 } from '@heki/linux';
import { describe, expect, test } from 'vitest';
import { kunitTests } from '../run-kunit.ts';
import { outcomes, type Setting } from '../testing/outcomes.ts';

/** Names of the tests that end otherwise than with `ok`, by how they end. */
function exceptions(setting: Setting): Record<string, string[]> {
  const { ends } = outcomes(setting, 'heki_model');
  expect(Object.keys(ends)).toEqual(kunitTests('heki_model'));
  const found: Record<string, string[]> = {};
  for (const [name, end] of Object.entries(ends)) {
    if (end !== 'ok') found[end] = [...(found[end] ?? []), name];
  }
  return found;
}

describe('our own suite', () => {
  test('passes under hardened', () => {
    expect(exceptions({})).toEqual({});
  });

  test('finds under rfc-v2 what is not checked, not taken away, and not patched', () => {
    expect(exceptions({ profile: 'rfc-v2' })).toEqual({
      'not ok': [
        'lock_cr_bits_not_set',
        'protect_list_address',
        'protect_entry_count',
        'protect_list_loop',
        'protect_outside_memory',
        'protect_without_read',
        'protect_fewer_rights',
        'module_formed',
        'module_live',
        'module_unloaded',
        'module_on_reused_pages',
        'vmalloc_on_reused_pages',
        'text_poke_module',
      ],
      '#14(0x3)': ['text_poke_core'],
    });
  });

  test('finds under rfc-v2 a freed page that executes, where a kernel has freed much of itself', () => {
    const names = ['module_init_freed'];
    expect(outcomes({ profile: 'rfc-v2', kernel: DEBIAN_6_1 }, 'heki_model', names).ends).toEqual({
      module_init_freed: 'not ok',
    });
    expect(outcomes({ kernel: DEBIAN_6_1 }, 'heki_model', names).ends).toEqual({ module_init_freed: 'ok' });
  });

  test('finds without MBEC that data can be executed, and what else holds', () => {
    const names = [
      'protect_immutable',
      'protect_fewer_rights',
      'module_live',
      'module_unloaded',
      'text_poke_core',
    ];
    const { ends, log } = outcomes({ mbec: false }, 'heki_model', names);
    expect(ends).toEqual({
      protect_immutable: 'ok',
      protect_fewer_rights: 'not ok',
      module_live: 'not ok',
      module_unloaded: 'not ok',
      text_poke_core: 'ok',
    });
    expect(log).toContain('Expected data to be rw- in the second level, but it is rwx');
  });

  test('skips hypercalls that are not implemented, and finds that nothing is protected', () => {
    const names = ['lock_cr_bits', 'protect_good_lists', 'module_function', 'module_live', 'text_poke_core'];
    expect(outcomes({ hypervisor: 'none' }, 'heki_model', names).ends).toEqual({
      lock_cr_bits: 'skip',
      protect_good_lists: 'skip',
      module_function: 'ok',
      module_live: 'not ok',
      text_poke_core: 'not ok',
    });
  });
});
