import { longTestsConfig } from '@heki-internal/vitest';

export default longTestsConfig(import.meta.url);
