import { expect, test } from 'vitest';
import { formatRights, type Rights, sameRights } from './rights.ts';

const ALL: Rights = { read: true, write: true, supervisorExecute: true, userExecute: true };

test('rights are written as four letters, the last for user execution', () => {
  expect(formatRights(ALL)).toBe('rwxu');
  expect(formatRights({ ...ALL, write: false, supervisorExecute: false })).toBe('r--u');
  expect(formatRights({ read: false, write: false, supervisorExecute: false, userExecute: false })).toBe(
    '----',
  );
});

test('rights are the same when each of the four is', () => {
  expect(sameRights(ALL, { ...ALL })).toBe(true);
  for (const right of ['read', 'write', 'supervisorExecute', 'userExecute'] as const) {
    expect(sameRights(ALL, { ...ALL, [right]: false })).toBe(false);
  }
});
