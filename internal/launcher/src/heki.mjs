// `./heki ARGS` and `heki.cmd ARGS`.
import { ifNodeIsNewEnough } from './node-version.mjs';

ifNodeIsNewEnough(async () => {
  const { runHeki, setUpOrTell } = await import('./run-heki.mjs');
  if (await setUpOrTell()) await runHeki(process.argv.slice(2));
});
