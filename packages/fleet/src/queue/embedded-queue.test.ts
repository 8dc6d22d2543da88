import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { openEmbedded } from '../database/embedded.ts';
import { describeQueue } from '../testing/queue-contract.ts';

const folder = mkdtempSync(join(tmpdir(), 'heki-fleet-'));
afterAll(() => rmSync(folder, { recursive: true }));

describeQueue('a queue in an embedded database', () => openEmbedded(folder));
