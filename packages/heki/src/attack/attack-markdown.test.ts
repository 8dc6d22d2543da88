import { ATTACK_MACHINES, CATALOGUE, runMatrix } from '@heki/attacks';
import { expect, test } from 'vitest';

import { attackMarkdown } from './attack-markdown.ts';
import { labBackend } from './lab-backend.ts';

const matrix = runMatrix({
  attacks: CATALOGUE.filter(({ name }) => ['store-text-after-pte-edit', 'store-data'].includes(name)),
  machines: ATTACK_MACHINES.filter(({ name }) => ['no-heki', 'hardened'].includes(name)),
  findBackend: labBackend,
});

/** The lines that lead into the inspector. */
const places = (snapshot?: Parameters<typeof attackMarkdown>[1]) =>
  attackMarkdown(matrix, snapshot).filter((line) => line.includes('heki inspect'));

test('an attack leads into the inspector, on a machine where it succeeds and one that stops it; not where none does', () => {
  expect(places()).toEqual([
    '- Side by side on no-heki and hardened: `heki inspect`, at `#attacks?attack=store-text-after-pte-edit&left=no-heki&right=hardened`',
  ]);
});

test('what was tried on the kernel of a snapshot is not in the inspector', () => {
  expect(places('guest.elf')).toEqual([]);
});
