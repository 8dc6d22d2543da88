import { describeProperties } from './testing/properties.ts';

// `properties.property.long.test.ts` has more lives and all defects.
describeProperties(6, ['B-H1']);
