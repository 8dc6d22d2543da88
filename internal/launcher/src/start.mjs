// `npm start -- ARGS`.
import { ifNodeIsNewEnough } from './node-version.mjs';

ifNodeIsNewEnough(async () => {
  const { npmStart } = await import('./npm-start.mjs');
  await npmStart(process.argv.slice(2));
});
