import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { packageGroups } from './package-groups.ts';

const root = join(import.meta.dirname, '../../..');

it('every package has its guide in one group', () => {
  const grouped = packageGroups(root).flatMap(({ packages }) => packages);
  expect(grouped.toSorted()).toEqual(readdirSync(join(root, 'packages')).toSorted());
});
