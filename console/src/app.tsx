/** The frame around all pages, and which page is shown where. */
import { useState } from 'react'
import {
  Brand,
  Button,
  FormSelect,
  FormSelectOption,
  Label,
  Masthead,
  MastheadBrand,
  MastheadContent,
  MastheadLogo,
  MastheadMain,
  MastheadToggle,
  Nav,
  NavItem,
  NavList,
  Page,
  PageSidebar,
  PageSidebarBody,
  PageToggleButton,
  SkipToContent,
  Toolbar,
  ToolbarContent,
  ToolbarGroup,
  ToolbarItem,
} from '@patternfly/react-core'
import { NavLink, Navigate, Route, Routes, useLocation } from 'react-router'
import { queries, scope } from './api/client'
import { useLive } from './api/live'
import { useProjects } from './api/look'
import { signOut, useProlonging, useWho } from './api/session'
import { ClusterPage } from './pages/cluster'
import { ClustersPage } from './pages/clusters'
import { MachinesPage } from './pages/machines'
import { SignInPage } from './pages/sign-in'
import { SitesPage } from './pages/sites'
import { Look } from './parts/look'

const MAIN = 'main'

export function App() {
  const who = useWho()
  return <Look of={who}>{(user) => (user ? <Console organization={user.orgName} /> : <SignInPage />)}</Look>
}

function Console({ organization }: { organization: string }) {
  useProlonging()
  const live = useLive()
  return (
    <Page
      masthead={<Head organization={organization} live={live} />}
      sidebar={<Side />}
      skipToContent={<SkipToContent href={`#${MAIN}`}>Skip to content</SkipToContent>}
      mainContainerId={MAIN}
      isManagedSidebar
    >
      <Routes>
        <Route path="/" element={<Navigate to="/clusters" replace />} />
        <Route path="/clusters" element={<ClustersPage />} />
        <Route path="/clusters/:uid" element={<ClusterPage />} />
        <Route path="/machines" element={<MachinesPage />} />
        <Route path="/sites" element={<SitesPage />} />
        <Route path="*" element={<Navigate to="/clusters" replace />} />
      </Routes>
    </Page>
  )
}

function Head({ organization, live }: { organization: string; live: boolean }) {
  return (
    <Masthead>
      <MastheadMain>
        <MastheadToggle>
          <PageToggleButton isHamburgerButton aria-label="Navigation" />
        </MastheadToggle>
        <MastheadBrand>
          <MastheadLogo component="span">
            <Brand src="/console/favicon.svg" alt="Bessemer" heights={{ default: '28px' }} />
            &nbsp;Bessemer
          </MastheadLogo>
        </MastheadBrand>
      </MastheadMain>
      <MastheadContent>
        <Toolbar isStatic>
          <ToolbarContent>
            <ToolbarItem>{organization}</ToolbarItem>
            <ToolbarItem>
              <Project />
            </ToolbarItem>
            <ToolbarGroup align={{ default: 'alignEnd' }}>
              <ToolbarItem>
                <Label isCompact variant="outline" status={live ? 'success' : 'warning'}>
                  {live ? 'Live' : 'Connecting'}
                </Label>
              </ToolbarItem>
              <ToolbarItem>
                <Button variant="link" onClick={() => void signOut()}>
                  Sign out
                </Button>
              </ToolbarItem>
            </ToolbarGroup>
          </ToolbarContent>
        </Toolbar>
      </MastheadContent>
    </Masthead>
  )
}

/** Which project is looked at. */
function Project() {
  const projects = useProjects()
  const [chosen, setChosen] = useState(scope.get)
  const choose = (uid: string) => {
    scope.set(uid)
    setChosen(uid)
    void queries.resetQueries()
  }
  return (
    <FormSelect aria-label="Project" value={chosen} onChange={(_, uid) => choose(uid)}>
      <FormSelectOption value="" label="All projects" />
      {projects.data?.map(({ metadata }) => (
        <FormSelectOption key={metadata.uid} value={metadata.uid} label={metadata.name ?? ''} />
      ))}
    </FormSelect>
  )
}

const PAGES = [
  ['/clusters', 'Clusters'],
  ['/machines', 'Machines'],
  ['/sites', 'Sites'],
] as const

function Side() {
  const { pathname } = useLocation()
  return (
    <PageSidebar>
      <PageSidebarBody>
        <Nav aria-label="Pages">
          <NavList>
            {PAGES.map(([path, title]) => (
              <NavItem key={path} isActive={pathname.startsWith(path)}>
                <NavLink to={path}>{title}</NavLink>
              </NavItem>
            ))}
          </NavList>
        </Nav>
      </PageSidebarBody>
    </PageSidebar>
  )
}
