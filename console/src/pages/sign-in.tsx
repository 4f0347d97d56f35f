import { useState } from 'react'
import { LoginForm, LoginPage } from '@patternfly/react-core'
import { useMutation } from '@tanstack/react-query'
import { signIn } from '../api/session'

export function SignInPage() {
  const [email, setEmail] = useState('')
  const [password, setPassword] = useState('')
  const signingIn = useMutation({ mutationFn: () => signIn(email, password) })
  return (
    <LoginPage loginTitle="Bessemer" loginSubtitle="Bare metal in, Kubernetes out.">
      <LoginForm
        usernameLabel="E-mail"
        usernameValue={email}
        onChangeUsername={(_, value) => setEmail(value)}
        passwordLabel="Password"
        passwordValue={password}
        onChangePassword={(_, value) => setPassword(value)}
        isShowPasswordEnabled
        isLoginButtonDisabled={signingIn.isPending || !email || !password}
        loginButtonLabel="Sign in"
        showHelperText={signingIn.isError}
        helperText={signingIn.error?.message}
        onLoginButtonClick={(event) => {
          event.preventDefault()
          signingIn.mutate()
        }}
      />
    </LoginPage>
  )
}
