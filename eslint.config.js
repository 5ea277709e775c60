import prettier from 'eslint-plugin-prettier/recommended';
import tseslint from 'typescript-eslint';

/**
 * What each layer of `src/` may import besides itself; `main.ts` and `app/` wire everything. The sandbox is loaded by `app/` and
 * by tests only, so that nothing of the product can come to depend on it.
 */
const LAYERS = {
  util: [],
  domain: ['util'],
  config: ['util', 'domain'],
  auth: ['util', 'domain', 'config'],
  builder: ['util', 'domain', 'config'],
  storage: ['util', 'domain', 'config'],
  reconcile: ['util', 'domain', 'config', 'auth', 'builder', 'storage'],
  routes: ['util', 'domain', 'config', 'auth', 'reconcile'],
  cli: ['util', 'domain', 'config', 'builder'],
};
const ROOMS = [...Object.keys(LAYERS), 'app', 'sandbox'];

/** The direction of imports, as one rule for each layer. */
const directions = Object.entries(LAYERS).map(([layer, allowed]) => {
  const above = ROOMS.filter((room) => room !== layer && !allowed.includes(room));
  const message = `src/${layer} may import ${['itself', ...allowed].join(', ')}: see LAYERS in eslint.config.js.`;
  const patterns = [{ regex: `^(?:\\.\\./)+(?:src/)?(?:${above.join('|')})/`, message }];
  return { files: [`src/${layer}/**`], rules: { 'no-restricted-imports': ['error', { patterns }] } };
});

/** One tool for style and for mistakes: `npm run lint` reports both, `npm run format` mends what it can. */
export default tseslint.config(
  { ignores: ['node_modules', 'build', 'test/golden', 'eslint.config.js'] },
  tseslint.configs.recommendedTypeChecked,
  prettier,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      'prettier/prettier': ['error', { singleQuote: true, printWidth: 120 }],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/no-unnecessary-condition': 'error',
      '@typescript-eslint/prefer-readonly': 'error',
      complexity: ['error', 20],
      'max-depth': ['error', 4],
      'no-console': 'error',
      eqeqeq: 'error',
    },
  },
  ...directions,
  { files: ['bench/**', 'test/**'], rules: { '@typescript-eslint/no-unnecessary-condition': 'off' } },
);
