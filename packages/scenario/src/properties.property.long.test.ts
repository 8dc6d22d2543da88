import { BREAKING, describeProperties } from './testing/properties.ts';

/** HEKI_LIVES=5000 looks for longer, as HEKI_FUZZ=long does. */
describeProperties(
  Number(process.env.HEKI_LIVES ?? (process.env.HEKI_FUZZ === 'long' ? 3000 : 80)),
  BREAKING,
);
