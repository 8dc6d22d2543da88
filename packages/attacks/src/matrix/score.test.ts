import { expect, test } from 'vitest';
import { attackNamed, findBackend, machineNamed } from '../testing/backends.ts';
import { countCells, runMatrix } from './run-matrix.ts';
import { scoresOf } from './score.ts';

test('a machine is worth what it stops and what goes on: what it has nothing for counts for neither; each cell of an attack is counted once', () => {
  const matrix = runMatrix({
    attacks: ['execute-data', 'store-credentials', 'forge-patch-table', 'store-data', 'probe-own-kernel'].map(
      attackNamed,
    ),
    machines: ['no-heki', 'hardened'].map(machineNamed),
    findBackend,
  });
  expect(scoresOf(matrix)).toEqual([
    { machine: 'no-heki', attacks: { tried: 2, stopped: 0 }, work: { tried: 2, goesOn: 2 } },
    { machine: 'hardened', attacks: { tried: 2, stopped: 1 }, work: { tried: 2, goesOn: 1 } },
  ]);
  expect(countCells(matrix)).toEqual({
    cells: 6,
    claimed: { stopped: 1, red: 0 },
    unclaimed: { stopped: 0, red: 3 },
    notExpressible: 2,
  });
});
