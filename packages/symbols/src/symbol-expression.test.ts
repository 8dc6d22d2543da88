import { expect, test } from 'vitest';
import { parseSymbolExpression } from './symbol-expression.ts';

test.each([
  ['vfs_read', 'vfs_read', 0n, undefined],
  ['vfs_read+0x10', 'vfs_read', 16n, undefined],
  ['vfs_read+16', 'vfs_read', 16n, undefined],
  ['_text-0x1000', '_text', -4096n, undefined],
  ['vfs_read+0x10/0x1b0', 'vfs_read', 16n, undefined],
  ['xfs_iget+0x1/0x20 [xfs]', 'xfs_iget', 1n, 'xfs'],
  ['xfs:xfs_iget', 'xfs_iget', 0n, 'xfs'],
  ['a.isra.0+0x4', 'a.isra.0', 4n, undefined],
])('%s', (text, name, offset, module) => {
  expect(parseSymbolExpression(text)).toEqual({ name, offset, module });
});

test.each(['', '+0x10', 'a b', 'a+', 'a+zz', 'a+0x', '[xfs]'])('%j is not one', (text) => {
  expect(parseSymbolExpression(text)).toBeUndefined();
});
