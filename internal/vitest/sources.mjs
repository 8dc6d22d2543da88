// With `--import`, lets Node import TypeScript. The tests run as plain modules of Node: through vite's runner, where every use of an
// import is a call of a getter, they take nearly twice the processor time.
import { register } from 'node:module';
import { noteReads } from './reads.mjs';

register('./sources-hooks.mjs', import.meta.url);
if (process.env.HEKI_TEST_READS !== undefined) noteReads(process.env.HEKI_TEST_READS);
