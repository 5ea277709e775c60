import prettier from 'eslint-plugin-prettier/recommended';
import tseslint from 'typescript-eslint';

/** One tool for style and for mistakes: `npm run lint` reports both, `npm run format` mends what it can. */
export default tseslint.config(
  { ignores: ['node_modules', 'test/golden', 'eslint.config.js'] },
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
  { files: ['bench/**', 'test/**'], rules: { '@typescript-eslint/no-unnecessary-condition': 'off' } },
);
