// With `--import`, lets Node import TypeScript. The tests run as plain modules of Node: through vite's runner, where every use of an
// import is a call of a getter, they take nearly twice the processor time.
import { register } from 'node:module';

register('./sources-hooks.mjs', import.meta.url);
