import { expect, it } from 'vitest';
import { startSyncWorker } from './sync-worker.ts';

/** Tells something all the time. */
const DRIPPING = `
const drip = setInterval(() => tell('x'), 1);
port.on('message', () => { clearInterval(drip); port.close(); });
`;

it('an answer that never ends is given up by its deadline, however often something comes', () => {
  const worker = startSyncWorker<string>(DRIPPING, undefined, 'the guest', 10_000);
  const deadline = performance.now() + 100;
  expect(() => {
    for (;;) expect(worker.next(deadline)).toBe('x');
  }).toThrow('the guest: an answer did not end in time');
  worker.post(null);
});

it('a worker that says nothing is given up before the deadline', () => {
  const worker = startSyncWorker(`port.on('message', () => port.close());`, undefined, 'the guest', 20);
  expect(() => worker.next(performance.now() + 60_000)).toThrow('the guest: nothing came for 0.02 seconds');
  worker.post(null);
});
